"""Sweeps: what they may vary, and real ones of a few trials that take seconds."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli import main
from robot_rlaas.jobs import tuning
from robot_rlaas.jobs.pipeline import demonstrate
from robot_rlaas.jobs.tuning import Options, sweep
from robot_rlaas.learn.recipe import Recipe, load_recipe
from robot_rlaas.learn.sweep import load_sweep, of_a_trial, varied

QUICK = Path(__file__).parent / "quick.yaml"
SMOKE = load_recipe("smoke")
SPACE = """
budget_steps: 1024
looks: 2
episodes: 8
unpruned_trials: 1
logarithmic: {learning_rate: [1.0e-8, 0.01]}
one_of: {hidden: [[8], [32, 32]], clone_epochs: [0, 40]}
"""


class Quiet:
    def say(self, text: str) -> None:
        pass

    def bar(self, text: str, done: float, total: float) -> None:
        pass


@pytest.fixture(scope="module")
def demos(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demos") / "set"
    demonstrate("peg_insertion", SMOKE, 0, out, Quiet())
    return out


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


def words(demos: Path, space: Path, out: Path, trials: int, *more: str, recipe: str = str(QUICK)) -> list[str]:
    named = ["--demos", str(demos), "--space", str(space), "--out", str(out), "--sweep", str(trials)]
    return ["train", "peg_insertion", "--recipe", recipe, *named, *more]


def test_what_is_shipped_loads_and_varies_within_its_ranges() -> None:
    shipped, base = load_sweep("default"), load_recipe("default")
    ends = {name: end for section in (shipped.ranges, shipped.logarithmic) for name, (_, end) in section.items()}
    assert varied(base, ends).clip == shipped.ranges["clip"][1]


def test_a_drawn_start_takes_the_end_of_its_pair_with_it() -> None:
    recipe = varied(SMOKE, {"learning_rate": 2 * SMOKE.learning_rate[0], "hidden": [8]})
    assert recipe.learning_rate == pytest.approx([2 * end for end in SMOKE.learning_rate])
    assert recipe.hidden == (8,)
    assert recipe.noise_std == SMOKE.noise_std


def test_a_trial_is_validated_at_every_look_whatever_its_rollouts(space: Path) -> None:
    """1,024 steps and 2 looks; an update takes 16 x 16 steps, or 16 x 32."""
    swept = load_sweep(str(space))
    assert of_a_trial(SMOKE, swept).validate_every == 2
    longer = of_a_trial(varied(SMOKE, {"rollout_steps": 32}), swept)
    assert (longer.validate_every, longer.budget_steps) == (1, 1024)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ranges: {clipp: [0.1, 0.3]}", "did you mean 'clip'"),
        ("ranges: {budget_steps: [10, 20]}", "a sweep does not vary that"),
        ("ranges: {clip: [0.3, 0.1]}", "lower end comes first"),
        ("ranges: {rollout_steps: [16.5, 32]}", "16.5 is no rollout_steps"),
        ("ranges: {discount: [0.9, 1.5]}", "1.5 is no discount"),
        ("ranges: {hidden: [16, 32]}", "is no hidden"),
        ("one_of: {learning_rate: [0.1, 0.2]}", "also stands in another section"),
        ("logarithmic: {clip: [0.0, 0.1]}", "low end above 0"),
        ("one_of: {clip: [0.1]}", "at least 2"),
        ("one_off: {clip: [0.1, 0.2]}", "unknown key 'one_off'"),
        ("looks: 0", "'looks' is 0"),
    ],
)
def test_a_wrong_space_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    rest = [kept for kept in SPACE.strip().splitlines() if not kept.startswith(line.partition(":")[0] + ":")]
    path = tmp_path / "space.yaml"
    path.write_text("\n".join([*rest, line]) + "\n")
    with pytest.raises(InputError, match=rf"space.yaml:{len(rest) + 1}: ") as error:
        load_sweep(str(path))
    assert told in str(error.value)


def test_a_sweep_goes_on_to_more_trials_and_leaves_a_recipe(demos: Path, space: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "sweep"
    assert main(words(demos, space, out, 3)) == 0
    before = json.loads((out / "sweep.json").read_text())["trials"]
    assert [t["number"] for t in before] == [0, 1, 2]
    assert before[0]["drawn"] == {}
    assert main(words(demos, space, out, 4)) == 0
    table = json.loads((out / "sweep.json").read_text())
    trials = table["trials"]
    assert trials[:3] == before
    assert len({json.dumps(t["drawn"]) for t in trials}) == 4, "what goes on draws something else"
    best = max((t for t in trials if t["state"] == "complete"), key=lambda t: t["score"])
    assert table["best"] == best["number"]
    assert set(table["confirmed"]) == {"0", str(best["number"])}
    assert load_recipe(str(out / "recipe.yaml")) == varied(load_recipe(str(QUICK)), best["drawn"])
    kept = {f"{t['number']:03}" for t in trials if t["state"] == "complete"}
    assert {path.name for path in (out / "trials").iterdir()} == kept
    assert (out / "sweep.png").stat().st_size > 10_000
    told = capsys.readouterr().out
    assert all((f"trial {t['number']}: pruned" in told) == (t["state"] == "pruned") for t in trials)


@pytest.mark.long
def test_what_shows_no_promise_is_pruned(demos: Path, tmp_path: Path, capsys) -> None:
    """An actor too small to learn anything: as soon as its episodes end, it is below the median of the one before."""
    space = tmp_path / "space.yaml"
    space.write_text(SPACE.replace("[0, 40]", "[1, 2]").replace("[32, 32]", "[4]").replace("1024", "4096"))
    out = tmp_path / "sweep"
    assert main(words(demos, space, out, 2, recipe="smoke")) == 0
    first, second = json.loads((out / "sweep.json").read_text())["trials"]
    assert (first["state"], second["state"], second["success"]) == ("complete", "pruned", None)
    assert second["score"] < first["score"]
    assert "trial 1: pruned at score" in capsys.readouterr().out
    assert [path.name for path in (out / "trials").iterdir()] == ["000"]


def test_a_trial_that_diverges_does_not_end_the_sweep(demos: Path, space: Path, tmp_path: Path, capsys, monkeypatch):
    """By a learning rate that no space may name."""

    def bad(recipe: Recipe, drawn: dict[str, Any]) -> Recipe:
        return recipe.model_copy(update={"learning_rate": (1e8, 1e8)} if drawn else {})

    out = tmp_path / "sweep"
    monkeypatch.setattr(tuning, "varied", bad)
    assert main(words(demos, space, out, 2)) == 0
    first, second = json.loads((out / "sweep.json").read_text())["trials"]
    assert (first["state"], second["state"], second["broke_off"] > "") == ("complete", "pruned", True)
    assert "trial 1: broke off" in capsys.readouterr().out


def test_a_sweep_goes_on_with_what_it_was_begun_with_or_not_at_all(demos: Path, space: Path, tmp_path: Path, capsys):
    out = tmp_path / "sweep"
    assert main(words(demos, space, out, 1)) == 0
    before = (out / "sweep.json").read_bytes()
    assert main(words(demos, space, out, 2, "--seed", "1", "--trial-steps", "2048")) == 2
    assert "another space and seed" in capsys.readouterr().err
    assert (out / "sweep.json").read_bytes() == before


def test_options_that_do_not_go_together_and_places_that_are_taken(demos: Path, space: Path, tmp_path: Path, capsys):
    out = tmp_path / "taken"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert main(words(demos, space, out, 1)) == 2
    assert "not a sweep" in capsys.readouterr().err
    assert main(words(demos, space, tmp_path / "sweep", 1, "--track")) == 2
    assert main([word for word in words(demos, space, out, 1) if word not in ("--sweep", "1")]) == 2
    assert "add --sweep" in capsys.readouterr().err
    (out / "study.db").write_text("no database")
    assert main(words(demos, space, out, 1)) == 2
    assert "not a sweep's study" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["mine.txt", "study.db"]


class Interrupting(Quiet):
    """Ctrl-C in the second trial."""

    def bar(self, text: str, done: float, total: float) -> None:
        if text.startswith("trial 2 of 2, cloning"):
            raise KeyboardInterrupt


@pytest.mark.long
def test_finished_trials_outlive_what_breaks_off(demos: Path, space: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "sweep", load_recipe(str(QUICK))
    options = Options("peg_insertion", demos, recipe, load_sweep(str(space)), 2, 0, "cpu", out)
    with pytest.raises(KeyboardInterrupt):
        sweep(options, Interrupting())
    assert [t["number"] for t in json.loads((out / "sweep.json").read_text())["trials"]] == [0]
    optuna.load_study(study_name="sweep", storage=f"sqlite:///{out}/study.db").ask()  # as a killed process leaves one
    sweep(options, Quiet())
    trials = json.loads((out / "sweep.json").read_text())["trials"]
    assert [t["number"] for t in trials] == [0, 3], "what broke off does not count"
    assert not list((out / "trials").glob("*.checkpoint"))
