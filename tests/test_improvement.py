"""Rounds of training where a policy fails, on a policy that knows next to nothing."""

import json
from pathlib import Path

import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.jobs import pipeline, training
from robot_rlaas.jobs.improvement import Options, improve
from robot_rlaas.learn.recipe import load_recipe

from samples import Notes  # isort: skip

RECIPE = load_recipe("smoke").model_copy(
    update={"aggregate_rounds": 0, "demonstrations": 6, "rollout_steps": 40, "budget_steps": 4000}
)
CELL = "peg_insertion"


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    pipeline.demonstrate(CELL, RECIPE, 0, folder / "demonstrations", Notes())
    recipe = RECIPE.model_copy(update={"budget_steps": 1})
    training.train(CELL, folder / "demonstrations", recipe, 0, "cpu", folder / "policy", Notes())
    return folder / "policy"


def test_a_round_is_on_record_and_kept(policy: Path, tmp_path: Path) -> None:
    options, watch = Options(CELL, policy, RECIPE, 1, 3200, 0.5, 20, 0, tmp_path / "out"), Notes()
    result = improve(options, watch)
    assert not result.passed
    (row,) = json.loads((options.out / "improve.json").read_text())["rounds"]
    assert row["share"] == 0.5
    assert row["chosen_risk"] >= row["risk"] > 0.5
    assert row["steps"] >= 3200
    assert sum(row["before"]["clusters"].values()) == sum(row["before"]["stages"].values()) > 10
    trained = json.loads((options.out / "round_01/policy/policy.json").read_text())
    assert trained["provenance"]["focus"]["share"] == 0.5
    assert trained["recipe"]["budget_steps"] == 3200
    assert any("add demonstrations" in line and "such as plate x" in line for line in watch.lines)
    report = options.out / "round_01/qualification/report.json"
    written = report.stat().st_mtime_ns
    again = Notes()
    assert improve(options, again).text == result.text
    assert report.stat().st_mtime_ns == written
    with pytest.raises(InputError, match="made from another cell, policy or options"):
        improve(options._replace(share=0.0), Notes())


def test_only_a_policy_directory_is_improved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a policy directory"):
        improve(Options(CELL, tmp_path, RECIPE, 1, 1, 0.5, 20, 0, tmp_path / "out"), Notes())
    assert not (tmp_path / "out").exists()
