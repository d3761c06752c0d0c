"""Runs on record, in a real MLflow on SQLite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.cli import main
from robot_rlaas.jobs import qualification
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.tracking import GIVE_UP, Tracked, tracked
from robot_rlaas.learn.aggregate import Round
from robot_rlaas.learn.improve import Progress, Validation
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.qualify.claims import Plan

SMOKE = load_recipe("smoke")


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('track')}/store/mlflow.db"


def client(uri: str):
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def run_named(uri: str, name: str):
    store = client(uri)
    experiment = store.get_experiment_by_name("peg_insertion")
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    return run


def stored(run) -> set[str]:
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}


class Lines(list):
    def say(self, text: str) -> None:
        self.append(text)

    def bar(self, text: str, done: float, total: float) -> None:
        pass


def test_a_run_is_on_record(uri: str, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    words = ["--recipe", "smoke", "--until", "train", "--seed", "3"]
    assert main(["run", "peg_insertion", *words, "--out", out, "--track", uri]) == 0
    run = run_named(uri, out)
    assert run.info.status == "FINISHED"
    given = run.data.params
    assert (given["seed"], given["cell"], given["recipe.clip"]) == ("3", "peg_insertion", str(SMOKE.clip))
    assert len(given["cell_hash"]) == len(given["demonstrations_sha256"]) == 64
    told = run.data.metrics
    assert told["cost.gpu_s"] == told["cost.human_min"] == 0
    assert told["cost.core_s"] >= told["cost.train.core_s"] > 0
    assert told["cost.simulated_h"] * 3600 >= SMOKE.budget_steps * 0.05
    assert {f"validation.{stage}.score" for stage in ("clone", "aggregated", "best")} <= set(told)
    assert "version.mujoco" in run.data.tags
    curve = client(uri).get_metric_history(run.info.run_id, "ppo.reward")
    assert [row.step for row in curve] == sorted({row.step for row in curve})
    assert curve[-1].step == SMOKE.budget_steps
    assert stored(run) == {"train/policy.json", "train/progress.csv"}


def test_the_verdict_is_on_record(uri: str, cell: CellSpec, tmp_path: Path) -> None:
    lines = Lines()
    report, trials, failures, _ = qualification._judge(
        Cell.load("peg_insertion"), "expert", 0, Plan(8, sequential=False, held_out=0), lines, "cpu"
    )
    qualification.write_report(Cell.load("peg_insertion"), report, trials, failures, [], "no films", tmp_path)
    with tracked(uri, cell, SMOKE, 0, "cpu", "verdict", lines) as record:
        assert record is not None
        record.stage("qualify", tmp_path, 1.0, 2.0, "fine")
    run = run_named(uri, "verdict")
    assert run.data.metrics["qualify.success_lower_95"] == report["success"]["lower_95"]
    assert run.data.metrics["cost.simulated_h"] == pytest.approx(report["cost"]["simulated_s"] / 3600)
    assert run.data.tags["verdict.success"] == report["requirements"][0]["verdict"]
    assert stored(run) == {"qualify/report.json", "qualify/report.html"}


def test_rows_of_training_become_curves(uri: str, cell: CellSpec) -> None:
    with tracked(uri, cell, SMOKE, 0, "cuda", "by hand", Lines()) as record:
        assert record is not None
        record.aggregating(Round(2, 2, 900, Validation(0.5, 0.25, False)))
        record.improving(Progress(1.0, 256, 0.5, 30.0, 2.0, None, None, {"force": -0.5}))
        record.improving(Progress(2.0, 512, 0.75, 20.0, 3.0, 0.875, 0.75, {"force": -0.25}))
        record.stage("check", Path(), 1.0, 2.0, "fine")
    run = run_named(uri, "by hand")
    assert run.data.metrics["aggregate.score"] == 0.25
    assert run.data.metrics["ppo.reward_force"] == -0.25
    validated = client(uri).get_metric_history(run.info.run_id, "ppo.validation_success")
    assert [(row.step, row.value) for row in validated] == [(512, 0.875)]
    assert (run.data.metrics["cost.core_s"], run.data.tags["stage.check"]) == (2.0, "fine")


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (InputError("no"), "FAILED")], ids=["killed", "failed"]
)
def test_what_breaks_off_says_so(uri: str, cell: CellSpec, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), tracked(uri, cell, SMOKE, 0, "cpu", status, Lines()):
        raise error
    assert run_named(uri, status).info.status == status


@pytest.mark.parametrize("wrong", ["runs/mlflow.db", "http://127.0.0.1:9", "sqlite:////proc/none/mlflow.db"])
def test_a_store_that_cannot_be_reached_is_told_before_anything_begins(wrong: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    assert main(["run", "peg_insertion", "--recipe", "smoke", "--out", str(out), "--track", wrong]) == 2
    assert f"--track {wrong}" in capsys.readouterr().err
    assert not out.exists()


def test_a_store_that_goes_away_is_told_and_ends_nothing(uri: str, cell: CellSpec) -> None:
    lines = Lines()
    with tracked(uri, cell, SMOKE, 0, "cpu", "deleted", lines) as record:
        assert record is not None
        run_id = record._run
        client(uri).delete_run(run_id)  # MLflow refuses to write to it from now on
        for steps in range(2 * GIVE_UP):
            record.improving(Progress(1.0, steps, 0.5, 30.0, 2.0, None, None, {}))
    assert sum("not recorded" in line for line in lines) == GIVE_UP
    assert "the run goes on" in lines[-1]


def test_a_single_failure_does_not_end_the_record(uri: str, cell: CellSpec, tmp_path: Path) -> None:
    lines = Lines()
    with tracked(uri, cell, SMOKE, 0, "cpu", "one failure", lines) as record:
        assert isinstance(record, Tracked)
        for _ in range(2 * GIVE_UP):
            record._send(lambda: (tmp_path / "not there").read_text())
            record._metrics({"ppo.reward": 1.0})
    assert run_named(uri, "one failure").data.metrics == {"ppo.reward": 1.0}
    assert not any("ends here" in line for line in lines)


LISTENING = """
import sys, time
asked = []
def hear(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect" and isinstance(arguments[1], tuple):
        asked.append(arguments)
        raise OSError("nothing leaves this machine")
sys.addaudithook(hear)
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.jobs.progress import watching
from robot_rlaas.jobs.tracking import tracked
with watching() as watch, tracked(sys.argv[1], load_cell("peg_insertion"), load_recipe("smoke"), 0, "cpu", "x", watch):
    time.sleep(1)
assert not asked, asked
"""


def test_nothing_leaves_the_machine(uri: str) -> None:
    """MLflow reports to its makers by default, but not where it finds signs of a test: those are taken away here."""
    signs = ("CI", "GITHUB_", "PYTEST_", "MLFLOW_", "DO_NOT_TRACK")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(signs)}
    subprocess.run([sys.executable, "-W", "error", "-c", LISTENING, uri], check=True, env=clean, timeout=120)
