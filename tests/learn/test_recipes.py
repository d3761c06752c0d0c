"""Recipes: what no training can be made of is refused where it is written; what is taken ends in no traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from samples import Notes

from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.strict_yaml import Spec
from robot_rlaas.cli import main
from robot_rlaas.jobs import pipeline, training
from robot_rlaas.learn.lessons import Lessons, load_lessons
from robot_rlaas.learn.practice_recipe import PracticeRecipe, load_practice
from robot_rlaas.learn.recipe import Recipe, load_recipe

KINDS: dict[type[Spec], Callable[[str], Spec]] = {
    Recipe: load_recipe,
    PracticeRecipe: load_practice,
    Lessons: load_lessons,
}
FIELDS = [(kind, name) for kind in KINDS for name in kind.model_fields]
NONSENSE = [".nan", ".inf", "-.inf", "-1", "1.0e+30", str(10**30), "1e999", "much", "yes", "2026-01-01"]


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda of: getattr(of, "__name__", of))
def test_nonsense_is_refused_by_name_and_line(kind: type[Spec], name: str, value: str, tmp_path: Path) -> None:
    shipped = getattr(KINDS[kind]("default"), name)
    for i in range(len(shipped)) if isinstance(shipped, tuple) else [None]:
        entries = [value if j == i else str(entry) for j, entry in enumerate(shipped)] if i is not None else []
        file = tmp_path / "recipe.yaml"
        file.write_text(f"# wrong\n{name}: {f'[{", ".join(entries)}]' if entries else value}\n")
        with pytest.raises(InputError, match=rf"recipe\.yaml:2: '{name}[.\d]*' is .*(must|does not|allowed)"):
            KINDS[kind](str(file))


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        (Recipe, "rollout_steps: 1\nsimulations: 1", ":1: 'rollout_steps' is 1: must make updates of 2 to 10,000,000"),
        (Recipe, "simulations: 60000\nrollout_steps: 9000", "540,000,000"),
        (Recipe, "hidden: []", "'hidden' is \\[\\]: has 0 entries; allowed are at least 1"),
        (Recipe, "budget_steps: 1e6", "'budget_steps' is '1e6': must be a whole number\n  fix: write it in digits"),
        (Lessons, "student_rounds: 90\nstudent_frames: 900000", ":2: .* must not make more than 10,000,000 frames"),
    ],
)
def test_what_fits_alone_but_not_together(kind: type[Spec], content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        KINDS[kind](str(file))


def test_a_learning_rate_of_1e8_is_bad_input(tmp_path: Path, capsys) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("epochs: 2\nlearning_rate: [1.0e+8, 1.0e+8]\n")
    demos = ("--demos", str(tmp_path / "demonstrations"), "--out", str(tmp_path / "policy"))
    assert main(["train", "peg_insertion", "--recipe", str(file), *demos]) == 2
    assert f"{file}:2: 'learning_rate.0' is 100000000.0: must be less than or equal to 0.1" in capsys.readouterr().err


CELL = "peg_insertion"
TINY: dict[str, Any] = {
    **{"demonstrations": 2, "clone_epochs": 2, "aggregate_rounds": 0, "hidden": [8], "simulations": 2},
    **{"rollout_steps": 8, "batch_size": 8, "epochs": 2, "critic_warmup": 1, "budget_steps": 128},
    **{"validate_every": 4, "validation_episodes": 2},
}


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "demonstrations"
    pipeline.demonstrate(CELL, load_recipe("smoke").model_copy(update={"demonstrations": 2}), 0, path, Notes())
    return path


@pytest.mark.parametrize(
    "edge",
    [
        {"learning_rate": [0.1, 0.1], "target_kl": 10, "clip": 1, "epochs": 50},
        {"noise_std": [1e-4, 1e-4], "learning_rate": [0.1, 0.1], "average": 0},
        {"noise_std": [1, 1], "discount": 0.999999, "gae_lambda": 1e-9, "hidden": [1]},
        {"simulations": 1, "rollout_steps": 2, "batch_size": 2, "hidden": [1] * 8, "widen": 5, "validate_every": 64},
    ],
    ids=lambda edge: next(iter(edge)),
)
def test_a_recipe_at_its_bounds_trains_or_says_why_not(edge: dict[str, Any], demonstrations: Path, tmp_path: Path):
    file, out = tmp_path / "recipe.yaml", tmp_path / "policy"
    file.write_text(yaml.safe_dump(TINY | edge))
    try:
        training.train(CELL, demonstrations, load_recipe(str(file)), 0, "cpu", out, Notes())
    except StageError as error:
        said = str(error)
    else:
        said = json.loads((out / "policy.json").read_text())["kind"]
    assert said == "mlp" or ("not finite" in said and not out.exists())
