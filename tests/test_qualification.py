"""Judging policies end to end, with the scripted expert: no training needed."""

import json
from pathlib import Path

import numpy as np
import pytest
from samples import Notes

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import key_of
from robot_rlaas.jobs import qualification
from robot_rlaas.jobs.pipeline import Result
from robot_rlaas.jobs.qualification import compare_policies, qualify, reproduce
from robot_rlaas.qualify.claims import Plan


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> tuple[Path, Result, Notes]:
    """A small sequential qualification of the expert, with everything in it."""
    out, watch = tmp_path_factory.mktemp("judged") / "expert", Notes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robot_rlaas.qualify.held_out.REACHES", (1.0, 4.0))
        result = qualify("peg_insertion", "expert", 0, Plan(50, held_out=4, sensitivity=2), out, watch)
    return out, result, watch


def test_a_qualification_leaves_its_files(judged) -> None:
    out, _, _ = judged
    names = {"report.json", "report.html", "report.xml", "failures.json", "domain.json"}
    assert {p.name for p in out.iterdir()} == names
    report, domain = json.loads((out / "report.json").read_text()), json.loads((out / "domain.json").read_text())
    assert domain["episodes"] == report["success"]["count"]
    assert (domain["cell_hash"], domain["policy_sha256"]) == (report["cell_hash"], report["policy"]["sha256"])
    assert report["kind"] == "qualification"
    assert tuple(report["key"]) == key_of(report["policy"]["sha256"])
    assert report["episodes"] == 50
    assert len(report["held_out"]) == 10
    assert all(len(points) >= 1 for points in report["sensitivity"]["curves"].values())
    beyond_s = sum(entry["simulated_s"] for entry in report["held_out"]) + report["sensitivity"]["simulated_s"]
    assert report["cost"]["simulated_s"] > beyond_s > 0
    assert report["plan"] == {
        "episodes": 50, "sequential": True, "held_out": 4, "sensitivity": 2, "batch": 50, "alpha": 0.05
    }  # fmt: skip


def test_undecided_does_not_pass_and_says_how_many_more(judged) -> None:
    _, result, watch = judged
    assert not result.passed
    assert any("UNDECIDED" in line and "more episodes would decide" in line for line in watch.lines)


def test_the_failures_name_episodes_that_can_be_started_again(judged) -> None:
    out, _, _ = judged
    report, failures = (json.loads((out / name).read_text()) for name in ("report.json", "failures.json"))
    assert failures["key"] == report["key"]
    listed = sorted(n for cluster in failures["clusters"] for n in cluster["episodes"])
    assert listed == sorted(n for cluster in report["failures"] for n in cluster["episodes"])
    rows = report["per_episode"]
    for cluster in failures["clusters"]:
        for number, start in zip(cluster["episodes"], cluster["starts"]):
            assert start == [rows[axis][number] for axis in failures["axes"]]


def test_a_report_can_be_reproduced(tmp_path: Path, monkeypatch) -> None:
    out, watch = tmp_path / "first", Notes()
    qualify("peg_insertion", "expert", 3, Plan(12, sequential=False, held_out=3, sensitivity=1), out, watch)
    monkeypatch.setattr(qualification, "SIMULATIONS", 5)
    again = reproduce("peg_insertion", "expert", out / "report.json", watch)
    assert again.passed, again.text
    report = json.loads((out / "report.json").read_text())
    report["versions"]["mujoco"] = "0.0.1"
    report["per_episode"]["peak_force_N"][3] += 0.001
    (out / "report.json").write_text(json.dumps(report))
    tampered = reproduce("peg_insertion", "expert", out / "report.json", watch)
    assert not tampered.passed
    assert tampered.text == "not the same: per_episode"
    assert any("mujoco 0.0.1 ->" in line for line in watch.lines)


def test_a_report_says_which_simulator_judged(tmp_path: Path, judged) -> None:
    """MuJoCo Warp comes to the same verdicts, and reproduction asks the same simulator again."""
    out, watch, plan = tmp_path / "warp", Notes(), Plan(4, sequential=False, held_out=0, sensitivity=0)
    qualify("peg_insertion", "expert", 0, plan, out, watch, "warp:cpu")
    report, of_cpu = (json.loads((path / "report.json").read_text()) for path in (out, judged[0]))
    assert (report["simulator"], of_cpu["simulator"]) == ("warp:cpu", "cpu")
    assert report["versions"].items() > {name: report["versions"][name] for name in of_cpu["versions"]}.items()
    assert report["per_episode"]["success"] == of_cpu["per_episode"]["success"][:4]
    assert report["per_episode"]["peak_force_N"] != of_cpu["per_episode"]["peak_force_N"][:4]
    assert "warp:cpu" in (out / "report.html").read_text()
    assert reproduce("peg_insertion", "expert", out / "report.json", watch).passed


def test_a_simulator_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="allowed are 'cpu', 'warp:cuda'"):
        qualify("peg_insertion", "expert", 0, Plan(4), tmp_path / "out", Notes(), "gazebo")
    assert not (tmp_path / "out").exists()


def test_reproduction_refuses_what_it_cannot_reproduce(tmp_path: Path, judged) -> None:
    report = json.loads((judged[0] / "report.json").read_text())
    other = tmp_path / "report.json"
    for change, said in (
        ({"cell_hash": "00"}, "of a cell with hash"),
        ({"policy": {**report["policy"], "sha256": "00" * 32}}, "of the policy"),
        ({"format": 1}, "not a qualification report"),
    ):
        other.write_text(json.dumps({**report, **change}))
        with pytest.raises(InputError, match=said):
            reproduce("peg_insertion", "expert", other, Notes())


@pytest.fixture
def lazy(tmp_path: Path, monkeypatch) -> str:
    """A policy in Python that stands still."""
    code = "def act(contract, rows):\n    return lambda observation: observation[:, :4] * 0\n"
    (tmp_path / "lazy.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    return "lazy:act"


def test_a_function_is_never_qualified(tmp_path: Path, lazy: str) -> None:
    """Nothing determines what code does: it may have met any episode. It gets figures, and no PASS."""
    watch = Notes()
    result = qualify("peg_insertion", lazy, 0, Plan(10, sequential=False), tmp_path / "out", watch)
    assert not result.passed
    assert json.loads((tmp_path / "out" / "report.json").read_text())["kind"] == "trial"
    assert any("not a qualification" in line for line in watch.lines)


def test_comparing_finds_a_real_difference_and_no_false_one(tmp_path: Path, lazy: str) -> None:
    out, watch = tmp_path / "compare.json", Notes()
    compare_policies("peg_insertion", ["expert", lazy, "expert"], 0, 40, False, out, watch)
    table = json.loads(out.read_text())
    real = {(row["b"], row["figure"]): row["real"] for row in table["differences"]}
    assert real[lazy, "success"]
    assert not any(flag for (b, _), flag in real.items() if b.startswith("expert"))
    same = next(r for r in table["differences"] if r["b"].startswith("expert") and r["figure"] == "peak_force_N")
    assert (same["difference"], same["p"]) == (0.0, 1.0)


def test_who_memorised_fifty_starts_is_exposed(cell, make_env) -> None:
    """A policy that knows the true hole of the episodes it has met is perfect on them and lost on fresh ones."""
    from robot_rlaas.cell.seeds import Seeds, Space
    from robot_rlaas.env.batch import BatchEnv
    from robot_rlaas.env.insertion.expert import InsertionExpert
    from robot_rlaas.qualify.trials import run_trials
    from robot_rlaas.sim.cpu import CpuBackend
    from robot_rlaas.sim.model import build

    class Memoriser:
        """Acts as the expert where the first observation is one it has met, and stands still elsewhere."""

        def __init__(self, rows: int) -> None:
            env = make_env(50, space=Space.TRAIN, nthread=1)
            self.known = {row.tobytes() for row in env.reset()}
            self.expert = InsertionExpert(cell, env.contract, rows)
            self.knows = np.zeros(rows, bool)
            self.fresh = np.ones(rows, bool)

        def reset(self, ids: np.ndarray) -> None:
            self.expert.reset(ids)
            self.fresh[ids] = True

        def act(self, observation: np.ndarray) -> np.ndarray:
            for row in np.flatnonzero(self.fresh):
                self.knows[row] = observation[row].tobytes() in self.known
            self.fresh[:] = False
            return np.where(self.knows[:, None], self.expert.act(observation), 0.0)

    work = build(cell)
    rates = []
    for seeds in (Seeds(0, Space.TRAIN), Seeds(0, Space.QUALIFY, (1, 2))):
        env = BatchEnv(cell, work, CpuBackend(work, cell, 25, 1), seeds)
        rates.append(np.mean([t.outcome.success for t in run_trials(env, Memoriser(25), 50, lambda n: None)]))
    assert rates[0] > 0.9
    assert rates[1] == 0.0
