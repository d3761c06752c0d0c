"""Practice in simulation, from demonstrations to a bundle: what it leaves, how it is interrupted and how it goes on."""

import json
from pathlib import Path

import numpy as np
import pytest

from robot_rlaas.bundle import load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli import main
from robot_rlaas.data.attempts import Practised, keep, kept
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs import pipeline
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.policies import load
from robot_rlaas.jobs.practising import Options, as_supervised, demonstrated, practise
from robot_rlaas.learn.practice_recipe import load_practice
from robot_rlaas.learn.recipe import load_recipe

QUICK = load_practice("default").model_copy(update={"clone_epochs": 20, "updates_per_period": 1, "critics_first": 50})
MINUTES = 0.2  # of the arm's time: two attempts or three


class Silent:
    def say(self, text: str) -> None: ...

    def bar(self, text: str, done: float, total: float) -> None: ...


class Interrupts(Silent):
    """Somebody presses Ctrl-C when the first attempt was made."""

    def bar(self, text: str, done: float, total: float) -> None:
        if text.startswith("practising"):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("practising") / "demonstrations"
    recipe = load_recipe("default").model_copy(update={"demonstrations": 4})
    pipeline.demonstrate("peg_insertion", recipe, 0, out, Silent())
    return out


@pytest.fixture(scope="module")
def options(shown: Path, tmp_path_factory: pytest.TempPathFactory) -> Options:
    return Options("peg_insertion", shown, QUICK, MINUTES, 0, tmp_path_factory.mktemp("out") / "practised", False)


@pytest.fixture(scope="module")
def interrupted(options: Options) -> int:
    """How many attempts there are after Ctrl-C."""
    with pytest.raises(KeyboardInterrupt):
        practise(options, Interrupts())
    return len(list(kept(options.attempts)))


def test_ctrl_c_leaves_a_policy_and_what_was_practised(cell, options: Options, interrupted: int) -> None:
    assert interrupted == 1
    assert load(options.out, cell, 1).kind == "policy"
    told = json.loads((options.out / "policy.json").read_text())
    assert told["practised"]["attempts"] == 1
    assert told["practised"]["updates"] == told["practised"]["periods"] > 0


def test_another_practice_is_not_begun_over_it(options: Options, interrupted: int, shown: Path, capsys) -> None:
    arguments = ["practise", "peg_insertion", "--demos", str(shown), "--out", str(options.out)]
    assert main(arguments) == 2
    assert "there is a practice already" in capsys.readouterr().err
    with pytest.raises(InputError, match="differs in: seed"):
        practise(options._replace(resume=True, seed=1), Silent())


def test_it_goes_on_and_ends_in_a_bundle(cell, options: Options, interrupted: int, tmp_path: Path) -> None:
    before = list(kept(options.attempts))
    practise(options._replace(resume=True), Silent())
    after = list(kept(options.attempts))
    assert len(after) > len(before)
    np.testing.assert_array_equal(after[0].observation, before[0].observation)
    assert not np.array_equal(after[1].observation[0], before[0].observation[0]), "other parts"
    period_s, rows = cell.period_s, json.loads((options.out / "practice.json").read_text())
    assert [row["success"] for row in rows] == [attempt.success for attempt in after]
    assert rows[-1]["at_s"] == pytest.approx(sum(len(attempt.action) for attempt in after) * period_s, abs=0.01)
    assert rows[-1]["at_s"] > 60 * MINUTES
    assert after[1].version > after[0].version
    bundle = pipeline.build_bundle(options.out, None, tmp_path / "bundle", None)
    assert "observations" in bundle.text, "the network does what torch's did"
    assert load_bundle(tmp_path / "bundle").cell.name == "peg_insertion"


def test_a_policy_says_which_parts_it_practised_on(options: Options, interrupted: int) -> None:
    provenance = json.loads((options.out / "policy.json").read_text())["provenance"]
    spaces = [sequence["space"] for sequence in provenance["sequences"]]
    assert spaces == ["DEMONSTRATE", "TRAIN"]


def test_cells_that_cannot_be_practised(shown: Path, tmp_path: Path) -> None:
    for name, why in (("kitting", "only insertion cells"), ("peg_insertion_camera", "nobody observes the plate")):
        asked = Options(name, shown, QUICK, 1.0, 0, tmp_path / "x", False)
        with pytest.raises(InputError, match=why):
            practise(asked, Silent())
    assert not list(tmp_path.iterdir())


def test_too_much_force_ends_an_attempt_as_the_supervisor_would(options: Options) -> None:
    cell = Cell.load("peg_insertion")
    contract = contract_of(cell.spec)
    found = demonstrated(options, cell.spec)
    peaks_N = [np.linalg.norm(contract.unpack(e.observation)["force"], axis=1).max() for e in found]
    episode = found[int(np.argmin(peaks_N))]
    assert as_supervised(cell, episode) is episode
    features = contract.unpack(episode.observation.copy())
    features["force"][7] = [60.0, 60.0, 60.0]
    assert 60 * np.sqrt(3) > cell.workcell.envelope.force_N
    felt = as_supervised(cell, episode._replace(observation=contract.pack(features)))
    assert (felt.success, len(felt.action)) == (False, 8)


def test_attempts_are_read_whole_and_in_order(tmp_path: Path) -> None:
    made = [
        Practised(np.ones((n, 3)), np.zeros((n, 2)), n > 1, True, np.zeros(n, bool), 10 * n, 0.5 * n) for n in (1, 2)
    ]
    for number, attempt in enumerate(made):
        keep(tmp_path, number, attempt)
    (tmp_path / "000002.npz.part").write_bytes(b"half")
    found = list(kept(tmp_path))
    assert [(a.success, a.ended, a.version, a.at_s) for a in found] == [(False, True, 10, 0.5), (True, True, 20, 1.0)]
    assert found[1].observation.shape == (2, 3)
    assert [len(a.action) for a in kept(tmp_path, 1)] == [2]
