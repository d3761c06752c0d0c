"""The loop on a virtual arm: a policy that knows nothing is tuned in the cell as the arm showed it."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import cell_path, load_cell
from robot_rlaas.jobs import pipeline, training
from robot_rlaas.jobs.loop import Options, _extended, loop
from robot_rlaas.learn.recipe import load_recipe

from samples import Notes, signing_key  # isort: skip

RECIPE = load_recipe("smoke")


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    pipeline.demonstrate("peg_insertion", RECIPE, 0, folder / "demonstrations", Notes())
    training.train("peg_insertion", folder / "demonstrations", RECIPE, 0, "cpu", folder / "policy", Notes())
    return folder / "policy"


def options(policy: Path, out: Path) -> Options:
    with TemporaryDirectory() as folder:
        key = signing_key(Path(folder))
    return Options("peg_insertion", policy, RECIPE, 1, 1, 50, "virtual", "ur5e_worn", 0, out, key)


@pytest.mark.long
@pytest.mark.realtime
@pytest.mark.timeout(600)
def test_a_turn(policy, tmp_path) -> None:
    pytest.importorskip("rclpy")
    watch = Notes()
    result = loop(options(policy, tmp_path), watch)
    turn = json.loads((tmp_path / "turn_01" / "turn.json").read_text())
    assert turn["error_after_mrad"] < turn["error_before_mrad"]
    assert turn["accepted"]
    cell = load_cell(turn["cell"])
    assert cell.calibration is not None
    assert cell.hash != load_cell("peg_insertion").hash
    assert not turn["learned"]
    assert any("at least 5 are needed" in line for line in watch.lines)  # insertions, and the policy knows nothing
    assert turn["decision"] == "record demonstrations"
    assert "failures.json" in turn["evidence"]
    assert (tmp_path / "turn_01" / "qualification_tuned" / "failures.json").is_file()
    sequences = json.loads((tmp_path / "turn_01/policy/policy.json").read_text())["provenance"]["sequences"]
    assert len(sequences) == 6  # the tuned policy has also learned from what the first one learned from
    assert not result.passed
    again = Notes()
    loop(options(policy, tmp_path), again)
    assert len(again.lines) == 1  # the turn is kept
    with pytest.raises(InputError, match="made from another cell, policy or options"):
        loop(options(policy, tmp_path)._replace(seed=1), Notes())
    assert json.loads((tmp_path / "loop.json").read_text())["turns"] == [turn]


def test_without_a_policy_nothing_begins(tmp_path) -> None:
    with pytest.raises(InputError, match="not a policy directory"):
        loop(options(tmp_path, tmp_path / "out"), Notes())
    assert not (tmp_path / "out").exists()


def test_what_is_known_goes_into_a_cell_that_extends_the_one_before(tmp_path) -> None:
    """A later turn that learns nothing of the parts keeps what an earlier one learned."""
    file = {"file": "log.mcap", "sha256": "0" * 64}
    one = {"name": "friction", "value": 0.3, "deviation": 0.01, "parts": 20, "accepted": True, "reason": "made up"}
    about = {"rlaas_contact": 1, "cell": "peg_insertion", "cell_hash": "0" * 64, "date": "2026-01-01", "logs": [file]}
    content = {**about, "attempts": 20, "inserted": 20, "figures": [], "findings": [], "learned": [one]}
    for turn in ("turn_01", "turn_02"):
        (tmp_path / turn / "contact").mkdir(parents=True)
        (tmp_path / turn / "contact" / "contact.yaml").write_text(json.dumps(content))
    first = _extended(
        cell_path("peg_insertion"),
        {"contact": tmp_path / "turn_01/contact/contact.yaml"},
        tmp_path / "turn_01/cell.yaml",
    )
    second = _extended(first, {}, tmp_path / "turn_02/cell.yaml")
    plain, learned = load_cell("peg_insertion"), load_cell(str(second))
    assert learned.contact is not None
    assert learned.contact.accepted("friction")[0].value == 0.3
    assert learned.model_copy(update={"contact": None}).hash == plain.hash
