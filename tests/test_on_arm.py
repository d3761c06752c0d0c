"""Judging a bundle by attempts on an arm: with attempts that are made up, and once over ROS 2 on the virtual arm."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import samples
import yaml
from onnx import TensorProto, helper, numpy_helper

from robot_rlaas.bundle import Trust, build_bundle, load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Line
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.cli import main
from robot_rlaas.deploy.run import Deployment, DeploymentError
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.files import write_json
from robot_rlaas.jobs import qualification_arm
from robot_rlaas.jobs.loop import Options as LoopOptions
from robot_rlaas.jobs.loop import loop
from robot_rlaas.jobs.pipeline import Result
from robot_rlaas.jobs.policies import Loaded
from robot_rlaas.jobs.qualification_arm import Word, ask, corrected, least_attempts, outcome_of, qualify_on_arm
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.qualify.schema import Report
from robot_rlaas.qualify.words import FAILURE_KINDS

ROOT = Path(__file__).parents[1]
INSERTED = {"success": True, "cycle_time_s": 3.0, "peak_force_N": 30.0}
MISSED = {"success": False, "cycle_time_s": None, "peak_force_N": 20.0}
VIRTUAL = {"episode": 0, "started": True, "way_back_force_N": 5.0, "keep_out": False, "stage": 3}
REPORT = ("report.json", "report.html", "report.xml", "failures.json")


class Notes(samples.Notes):
    """Without a bar."""

    def bar(self, text: str, done: float, total: float) -> None:
        raise AssertionError("it would be drawn over what an operator types")


class Made(NamedTuple):
    cell: str
    bundle: Path
    trust: Trust
    public: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """The shipped cell with a short timeout, and a bundle for it that goes straight down, slowly."""
    folder = tmp_path_factory.mktemp("made")
    content = yaml.safe_load((ROOT / "sim_assets/cells/peg_insertion.yaml").read_text())
    content["task"]["timeout_s"], content["requirements"]["cycle_time_s"]["limit"] = 4.0, 3.5
    file = folder / "cell.yaml"
    file.write_text(yaml.safe_dump(content))
    cell = load_cell(str(file))
    learned_from = {"sequences": [{"seed": 7, "space": "TRAIN", "key": []}]}
    network = _network(insertion.contract(cell).observation_size)
    samples.policy_directory(folder, cell, network, provenance=learned_from)
    key = samples.signing_key(folder / "keys")
    bundle = build_bundle(folder, None, folder / "bundle", key=key)
    return Made(str(file), bundle, Trust((key.public,)), folder / "keys/tester.pub")


def _network(size: int) -> bytes:
    weights = {"none": np.zeros((size, 4), np.float32), "down": np.array([0, 0, -0.1, 0], np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["observation", "none"], ["nothing"]),
            helper.make_node("Add", ["nothing", "down"], ["action"]),
        ],
        "down",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", size])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.fixture
def real(made: Made, tmp_path: Path, monkeypatch) -> Callable[..., tuple[Result, Report, Notes]]:
    """Judges made-up attempts of a real arm."""

    def judged(attempts: Sequence[dict], confirm: Callable | None, blocked: int = 0) -> tuple[Result, Report, Notes]:
        watch, out = Notes(), tmp_path / "out"
        monkeypatch.setattr(qualification_arm, "deploy", _deployed(attempts, blocked))
        options = made.cell, made.bundle, 0, len(attempts), "real", "ur5e_worn", confirm
        result = qualify_on_arm(*options, out, watch, made.trust)
        return result, json.loads((out / "report.json").read_text()), watch

    return judged


def _deployed(attempts: Sequence[dict], blocked: int = 0) -> Callable[..., Deployment]:
    """Stands for `deploy.run.deploy`."""

    def deploy(bundle: Path, out: Path, *, arm: str, plant: str, seed: int, on_event: Callable, **_) -> Deployment:
        loaded, successes = load_bundle(bundle), sum(a["success"] for a in attempts)
        supervisor = {"violations": blocked, "blocked": blocked, "peak_force_N": 41.5}
        told = (arm, plant, seed, None, loaded.cell.name, loaded.cell.hash, loaded.sha256, str(out / "log.mcap"))
        on_event("the policy is active")
        (out / "logs").mkdir(parents=True)
        for number, attempt in enumerate(attempts, start=1):
            on_event(f"attempt {number} of {len(attempts)}: {'success' if attempt['success'] else 'failed'}, 30 N")
        deployment = Deployment(tuple(attempts), successes, blocked, supervisor, {}, 1.0, "policy", *told)
        write_json(out / "deployment.json", deployment._asdict())
        return deployment

    return deploy


def _verdicts(report: Report) -> dict[str, str]:
    return {row["name"]: row["verdict"] for row in report["requirements"]}


def test_an_attempt_is_an_episode(cell) -> None:
    one = outcome_of(cell, 4, {**INSERTED, **VIRTUAL, "keep_out": True})
    assert (one.episode, one.success, one.cycle_time_s, one.steps) == (4, True, 3.0, 60)
    assert (one.keep_out, insertion.STAGES[one.stage], one.stage_s[-1]) == (True, "done", 3.0)
    other = outcome_of(cell, 0, {**MISSED, **VIRTUAL, "stage": 1})
    assert (other.success, other.cycle_time_s, other.steps) == (False, float("inf"), cell.horizon)
    assert insertion.STAGES[other.stage] == "search"
    late = outcome_of(cell, 0, {**MISSED, **VIRTUAL})
    assert insertion.STAGES[late.stage] == "insert", "it was inserted when the time was over: nothing diverged"
    assert insertion.STAGES[outcome_of(cell, 0, MISSED).stage] == "approach"


def test_the_operator_corrects_in_both_directions(cell) -> None:
    seen = [outcome_of(cell, i, a) for i, a in enumerate([INSERTED, INSERTED, MISSED, MISSED])]
    assert corrected(seen, None, cell) == corrected(seen, Word(), cell) == seen
    after = corrected(seen, Word(failed=(1,), inserted=(3,)), cell)
    assert [o.success for o in after] == [True, False, False, True]
    assert [o.cycle_time_s for o in after] == [3.0, float("inf"), float("inf"), cell.task.timeout_s]
    assert after[0] == seen[0]
    assert after[2] == seen[2]


def test_asking_takes_yes_or_no() -> None:
    answers, asked = iter(["", "maybe", " Y "]), []

    def read(question: str) -> str:
        asked.append(question)
        return next(answers)

    assert ask(7, read)
    assert len(asked) == 3
    assert "attempt 7" in asked[0]
    assert not ask(1, lambda _: "n")


def test_the_least_number_of_attempts(cell) -> None:
    assert least_attempts(cell) == 368
    need = cell.requirements
    hard = need.model_copy(update={"success": need.success.model_copy(update={"rate": 1 - 1e-9})})
    assert least_attempts(cell.model_copy(update={"requirements": hard})) is None


def test_flawless_attempts_pass_from_the_least_number_on(real) -> None:
    result, report, watch = real([INSERTED] * 368, lambda number: True)
    assert result.passed
    assert report["kind"] == "qualification"
    assert not [line for line in watch.lines if "UNDECIDED" in line]
    said = "; ".join(report["fresh"]["statements"])
    for part in ("placed by a person", "TRAIN of seed 7", "41.5 N", "an operator confirmed every attempt"):
        assert part in said
    assert (report["seed"], report["space"], report["policy"]["kind"]) == (0, "DEPLOY", "bundle on the arm")


def test_fewer_attempts_are_announced_and_pass_nothing(real, made: Made) -> None:
    result, report, watch = real([INSERTED] * 367, lambda number: True)
    assert not result.passed
    assert "UNDECIDED" in _verdicts(report).values()
    assert "367 attempts can only end in FAIL or UNDECIDED: PASS takes at least 368" in watch.lines[0]
    assert watch.lines.index("  the policy is active") > 0


def test_refused_targets_leave_keep_out_open(real) -> None:
    result, report, _ = real([INSERTED] * 400, lambda number: True, blocked=3)
    assert not result.passed
    assert _verdicts(report) == {
        "success": "PASS", "cycle_time": "PASS", "contact_force": "PASS", "keep_out": "UNDECIDED"
    }  # fmt: skip
    row = report["requirements"][3]
    assert (row["value"], row["lower_95"], row["upper_95"]) == (None, None, None)
    assert "in 3 periods" in row["text"]


def test_what_the_operator_rejects_is_called_so(real, tmp_path: Path) -> None:
    _, report, _ = real([INSERTED, INSERTED, MISSED, MISSED], lambda number: number in (1, 4))
    assert report["per_episode"]["success"] == [True, False, False, True]
    assert report["per_episode"]["stage"] == ["done", None, None, "done"]
    assert report["success"]["count"] == 2
    assert {c["kind"]: c["episodes"] for c in report["failures"]} == {"rejected": [1], "unseen": [2], "slow": [3]}
    assert not any(FAILURE_KINDS["done"] in c["text"] for c in report["failures"])
    assert any(
        "1 that the policy counts had failed, and 1 that it does not" in s for s in report["fresh"]["statements"]
    )
    assert all((tmp_path / "out" / name).stat().st_size for name in REPORT)


def test_the_operator_is_asked_after_each_attempt(made: Made, tmp_path: Path, monkeypatch) -> None:
    """And once for each; the last one when the arm has stopped and its attempts are written down."""
    watch, when = Notes(), []
    log = tmp_path / "out/deployment/deployment.json"

    def confirm(number: int) -> bool:
        when.append((number, watch.lines[-1].split(":")[0].strip(), log.is_file()))
        return True

    monkeypatch.setattr(qualification_arm, "deploy", _deployed([INSERTED] * 3))
    qualify_on_arm(made.cell, made.bundle, 0, 3, "real", "ur5e_worn", confirm, tmp_path / "out", watch, made.trust)
    assert when == [
        (1, "attempt 1 of 3", False), (2, "attempt 2 of 3", False), (3, "attempt 3 of 3", True)
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["nobody", "end of input"])
def test_without_a_confirmation_it_is_a_trial(real, tmp_path: Path, how: str) -> None:
    def confirm(number: int) -> bool:
        if number > 2:
            raise EOFError
        return True

    result, report, watch = real([INSERTED] * 368, None if how == "nobody" else confirm)
    assert not result.passed
    assert report["kind"] == "trial"
    assert report["fresh"]["objections"] == ["nobody confirmed what the policy says of its own attempts"]
    assert (tmp_path / "out/deployment/deployment.json").is_file()
    assert sum("trial" in line for line in watch.lines) == 1, "nobody who gave no answer is asked again"


def test_answers_outlive_an_interrupted_question_and_the_rest_is_asked_again(real, tmp_path: Path) -> None:
    def confirm(number: int) -> bool:
        if number == 3:
            raise KeyboardInterrupt
        return number == 2

    with pytest.raises(KeyboardInterrupt):
        real([INSERTED] * 3, confirm)
    folder, asked = tmp_path / "out/deployment", []
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["deployment"]
    assert json.loads((folder / "operator.json").read_text()) == {"1": False, "2": True}
    with pytest.raises(InputError, match="3 attempts were made, not 2"):
        real([MISSED] * 2, lambda number: True)
    _, report, watch = real([MISSED] * 3, lambda number: not asked.append(number))
    assert asked == [3]
    assert report["per_episode"]["success"] == [False, True, True]
    assert any("nothing moves" in line for line in watch.lines)
    with pytest.raises(InputError, match="attempts of a real arm already"):
        real([INSERTED] * 3, confirm)


def test_answers_outlive_attempts_that_are_interrupted(real, tmp_path: Path) -> None:
    """The arm stops; what it did without an end is not judged, and not overwritten."""

    def confirm(number: int) -> bool:
        if number == 2:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        real([INSERTED] * 3, confirm)
    assert json.loads((tmp_path / "out/deployment/operator.json").read_text()) == {"1": True}
    with pytest.raises(InputError):
        real([INSERTED] * 3, lambda number: True)


def test_logs_outlive_attempts_that_break_off(made: Made, tmp_path: Path, monkeypatch) -> None:
    def deploy(bundle: Path, out: Path, **_) -> Deployment:
        out.mkdir(parents=True)
        (out / "log.mcap").write_bytes(b"so far")
        raise DeploymentError("the supervisor stopped the arm")

    monkeypatch.setattr(qualification_arm, "deploy", deploy)
    options = made.cell, made.bundle, 0, 2, "virtual", "ur5e_worn", None
    with pytest.raises(DeploymentError):
        qualify_on_arm(*options, tmp_path / "out", Notes(), made.trust)
    assert (tmp_path / "out/deployment/log.mcap").read_bytes() == b"so far"
    assert not (tmp_path / "out/report.json").exists()


def test_attempts_of_a_real_arm_are_not_overwritten(real, tmp_path: Path) -> None:
    real([INSERTED], lambda number: True)
    with pytest.raises(InputError, match="attempts of a real arm already"):
        real([INSERTED], lambda number: True)


def test_another_cell_and_another_policy_are_refused_before_anything_moves(made: Made, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(qualification_arm, "deploy", lambda *_, **__: pytest.fail("it moved"))
    out = tmp_path / "out"
    for cell, policy, said in (
        ("peg_insertion", made.bundle, "this bundle is for a cell"),
        (made.cell, made.bundle.parent, "an arm is driven by a bundle"),
    ):
        with pytest.raises(InputError, match=said):
            qualify_on_arm(cell, policy, 0, 2, "real", "ur5e_worn", None, out, Notes(), made.trust)
    assert not out.exists()


def test_a_serial_port_reaches_the_plan_of_the_arms_processes(made: Made, tmp_path) -> None:
    """Which refuses it here: this arm has a driver of its own."""
    pytest.importorskip("rclpy")
    out, port = tmp_path / "out", Line("/dev/null")
    with pytest.raises(InputError, match="'ur5e' has no driver of LeRobot's"):
        qualify_on_arm(made.cell, made.bundle, 0, 2, "real", "ur5e_worn", None, out, Notes(), made.trust, port)
    assert not (out / "deployment").exists()
    key, policy = samples.signing_key(tmp_path), made.bundle.parent
    arm = ("real", "ur5e_worn", 0, tmp_path / "loop", key, port)
    with pytest.raises(InputError, match="'ur5e' has no driver of LeRobot's"):
        loop(LoopOptions(made.cell, policy, load_recipe("tune"), 1, 1, 50, *arm), Notes())


def test_a_bundle_that_changed_meanwhile_is_not_judged(made: Made, tmp_path, monkeypatch) -> None:
    def deploy(*arguments, **options) -> Deployment:
        return _deployed([INSERTED])(*arguments, **options)._replace(bundle_sha256="00")

    monkeypatch.setattr(qualification_arm, "deploy", deploy)
    options = made.cell, made.bundle, 0, 1, "real", "ur5e_worn", lambda _: True
    with pytest.raises(RuntimeError, match="changed"):
        qualify_on_arm(*options, tmp_path / "out", Notes(), made.trust)


def test_a_virtual_arm_objects_to_a_policy_that_met_its_parts() -> None:
    seeds, told = Seeds(5, Space.DEPLOY), {"seed": 5, "space": "DEPLOY", "key": []}
    sequences = ([{**told, "space": "TRAIN"}], [{**told, "space": "TRAIN"}, told])
    honest, met = (Loaded(None, "p", "ab" * 32, "bundle", {"sequences": s}) for s in sequences)  # type: ignore
    assert qualification_arm._of_virtual(honest, seeds).proved
    assert any("TRAIN of seed 5" in s for s in qualification_arm._of_virtual(honest, seeds).statements)
    assert qualification_arm._of_virtual(met, seeds).objections == (
        "the policy says that it learned from these very episodes",
    )


@pytest.mark.parametrize("flag", ["--reproduce", "--held-out", "--sensitivity", "--budget"])
def test_what_an_arm_cannot_do_is_refused(made: Made, tmp_path: Path, flag: str, capsys) -> None:
    command = ["qualify", made.cell, "--policy", str(made.bundle), "--arm", "virtual", "--out", str(tmp_path / "out")]
    assert main([*command, flag, "5"]) == 2
    assert f"{flag}: not together with --arm" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.realtime
def test_the_virtual_arm_leaves_a_report_and_its_log(made: Made, tmp_path: Path, capsys) -> None:
    """Over ROS 2, in processes of their own."""
    out = tmp_path / "out"
    command = ["qualify", made.cell, "--policy", str(made.bundle), "--arm", "virtual", "--episodes", "2"]
    assert main([*command, "--out", str(out)]) == 2
    assert "not trusted here" in capsys.readouterr().err
    assert not out.exists()
    assert main([*command, "--trust", str(made.public), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "attempt 2 of 2" in printed
    assert printed.index("PASS takes at least 368") < printed.index("attempt 1 of 2")
    report, deployment = (json.loads((out / n).read_text()) for n in ("report.json", "deployment/deployment.json"))
    assert all((out / name).stat().st_size for name in REPORT)
    assert (report["kind"], report["episodes"], report["success"]["count"]) == ("qualification", 2, 0)
    assert deployment["origin"].startswith("signed by tester")
    assert f"the bundle is {deployment['origin']}" in report["fresh"]["statements"]
    assert (report["seed"], report["space"]) == (deployment["seed"], "DEPLOY")
    assert Path(deployment["log"]) == out / "deployment/log.mcap"
    assert Path(deployment["log"]).stat().st_size > 1000
    assert {c["kind"] for c in report["failures"]} <= {"approach", "search"}
