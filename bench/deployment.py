"""How a deployment holds out: under faults, at high rates, and over hundreds of cycles."""

import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import yaml
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import binom
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from bench.measurements import CELL, Figure, Quiet, at_least, at_most
from robot_rlaas.bundle import Bundle, Trust, build_bundle, load_bundle
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.deploy import names
from robot_rlaas.deploy.fault_list import FAULTS
from robot_rlaas.deploy.judged import Told, line
from robot_rlaas.deploy.plan import Process, environment, plan
from robot_rlaas.deploy.ros.definitions import message_class
from robot_rlaas.deploy.ros.drill import survive_all, tampered
from robot_rlaas.deploy.ros.panel import Panel, on_domain
from robot_rlaas.deploy.ros.process import RELIABLE
from robot_rlaas.deploy.run import deploy, started
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.jobs import pipeline, qualification, training
from robot_rlaas.learn.recipe import Recipe, load_recipe
from robot_rlaas.qualify.claims import Plan

ANYBODY = Trust((), allow_unsigned=True)
DOMAIN = 96
LATENCY_S, RATES_HZ = 60.0, (100, 200)
CYCLES = 200
QUICK_STEPS = 100_000  # of training: the arm has to move sensibly, not perfectly


def fault_matrix() -> dict[str, Figure]:
    """Every fault of the list, one after the other, on a virtual arm: does it stop, does it say why?"""
    with TemporaryDirectory() as folder:
        recipe = load_recipe("default").model_copy(update={"budget_steps": QUICK_STEPS})
        bundle = _bundle(Path(folder), recipe)
        told = [tampered(bundle, Path(folder) / "drill", seed=0, domain_id=DOMAIN)]
        _tell(line(told[0]))
        told += survive_all(bundle, FAULTS, Path(folder) / "drill", seed=0, domain_id=DOMAIN, tell=_tell)
    return _matrix(told)


def _tell(text: str) -> None:
    print(f"  {text}", flush=True)


def _matrix(told: list[Told]) -> dict[str, Figure]:
    must = {fault.name for fault in FAULTS if fault.stops and fault.within_s <= 0.2}
    stops_s = [one.stop_s for one in told if one.fault in must and one.stop_s is not None]
    p50, p95, worst = np.percentile(stops_s, [50, 95, 100]) * 1e3
    return {
        "fault_matrix/faults": at_least(len(told), "1", 40),
        "fault_matrix/survived": at_least(sum(one.ok for one in told), "1", len(told)),
        "fault_matrix/stop_p50": Figure(p50, "ms", None, None),
        "fault_matrix/stop_p95": Figure(p95, "ms", None, None),
        "fault_matrix/stop_max": at_most(worst, "ms", 200),
        "fault_matrix/speed": at_most(100 * max(one.speed_share for one in told), "%", 100),
        "fault_matrix/out_of_range": at_most(max(one.out_of_range_rad for one in told), "rad", 0.001),
        "fault_matrix/keep_out": at_most(sum(one.keep_out for one in told), "1", 0),
    }


def ros_latency() -> dict[str, Figure]:
    """From a joint state's stamp to what answers it, beside a bare node that answers at once."""
    figures = {}
    for rate in RATES_HZ:
        with TemporaryDirectory() as folder:
            times, missed = _latency(Path(folder), rate)
        for name, one in times.items():
            for key, value in one._asdict().items():
                figures[f"ros_latency/{rate}_hz/{name}_{key}"] = Figure(value, "ms", None, None)
        name = f"ros_latency/{rate}_hz/supervisor_p99"
        figures[name] = at_most(times["supervisor"].p99, "ms", times["bare"].p99 + 2)
        figures[f"ros_latency/{rate}_hz/missed_periods"] = Figure(missed, "1", None, None)
    return figures


class _Times(NamedTuple):
    """Milliseconds: latency, and how far the time between two commands is from a period."""

    p50: float
    p99: float
    max: float
    jitter_p50: float
    jitter_p99: float
    jitter_max: float


def _latency(folder: Path, rate: int) -> tuple[dict[str, _Times], int]:
    """At the policy's target, the supervisor's setpoint, the watchdog's command and the bare node's answer."""
    bundle = load_bundle(_quick_bundle(folder, rate), ANYBODY)
    out, profile = folder / "out", load_hardware(bundle.cell.robot.hardware)
    topics = profile.topics
    planned = plan(bundle, out, attempts=10**6, arm="virtual", plant="ur5e_worn", seed=0, domain_id=DOMAIN)
    echo = {"topic": topics.joint_states, "out": "/echo"}
    processes = [p for p in planned if p.name != "conductor"]
    processes.append(Process("echo", "bench.echo_node", echo, environment(DOMAIN)))
    with started(processes, out), on_domain(DOMAIN):
        answers = {"policy": (names.TARGET, JointTrajectory), "supervisor": (names.SETPOINTS, Float64MultiArray)}
        probe = _Probe(answers | {"watchdog": (topics.command, message_class(profile.command_type))})
        probe.start()
        probe.spin(5.0)
        probe.begin()
        probe.spin(LATENCY_S)
        times = probe.times(rate)
        probe.close()
    return times, json.loads((out / "supervisor.json").read_text())["missed_periods"]


class _Probe(Panel):
    """Hears answers and echoes, and when each came."""

    def __init__(self, answers: dict[str, tuple[str, Any]]) -> None:
        super().__init__("probe")
        self._came: dict[str, list[float]] = {name: [] for name in answers}
        self._echoes = list[tuple[float, float]]()
        for name, (topic, kind) in answers.items():
            self.node.create_subscription(kind, topic, self._heard(self._came[name]), RELIABLE, raw=True)
        self.node.create_subscription(Float64MultiArray, "/echo", self._echo, RELIABLE)

    def begin(self) -> None:
        self._echoes.clear()
        for came in self._came.values():
            came.clear()

    def times(self, rate: int) -> dict[str, _Times]:
        """Every joint state is answered by the first message after its stamp."""
        stamps, echoed = (np.array(column) for column in zip(*self._echoes))
        told = {"bare": _told(echoed - stamps, echoed, rate)}
        for name, came in self._came.items():
            at_s = np.array(came)
            asked = stamps[stamps < at_s[-1]]
            told[name] = _told(at_s[np.searchsorted(at_s, asked)] - asked, at_s, rate)
        return told

    def _heard(self, came: list[float]) -> Callable[[Any], None]:
        return lambda _: came.append(time.time())

    def _echo(self, message: Float64MultiArray) -> None:
        self._echoes.append((message.data[0], time.time()))


def _told(latency_s: np.ndarray, at_s: np.ndarray, rate: int) -> _Times:
    jitter_s = np.abs(np.diff(at_s) - 1 / rate)
    return _Times(*(float(1e3 * np.percentile(x, q)) for x in (latency_s, jitter_s) for q in (50, 99, 100)))


def long_run() -> dict[str, Figure]:
    """Hundreds of cycles of a trained policy on the virtual arm: as good as qualified, no violation, flat memory."""
    with TemporaryDirectory() as folder:
        out = Path(folder)
        bundle = _bundle(out, load_recipe("default"), qualified=True)
        assert bundle.report is not None
        memory = _Memory(out / "deployment")
        deployed = deploy(bundle.path, out / "deployment", trust=ANYBODY, attempts=CYCLES, on_event=memory.look)
    lower = bundle.report["success"]["lower_95"]
    figures = {
        "long_run/cycles": at_least(len(deployed.attempts), "1", CYCLES),
        "long_run/successes": at_least(deployed.successes, "1", float(binom.ppf(0.025, CYCLES, lower))),
        "long_run/violations": at_most(deployed.violations, "1", 0),
        "long_run/missed_periods": Figure(deployed.supervisor["missed_periods"], "1", None, None),
    }
    for name, growth_MB in memory.growth_MB().items():
        figures[f"long_run/memory_growth/{name}"] = at_most(growth_MB, "MB", 5)
    return figures


class _Memory:
    """The memory of a deployment's processes, looked at after every attempt."""

    def __init__(self, out: Path) -> None:
        self._params, self._seen = str(out / "params"), dict[str, list[float]]()

    def look(self, event: str) -> None:
        if "attempt" not in event:
            return
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_text().split("\0") if entry.name.isdigit() else []
                file = next((Path(word) for word in words if word.startswith(self._params)), None)
                if file is not None:
                    pages = int((entry / "statm").read_text().split()[1])
                    self._seen.setdefault(file.stem, []).append(pages * 4096 / 1e6)
            except OSError:
                continue

    def growth_MB(self) -> dict[str, float]:
        """From the second quarter of the run to the last one: what is loaded late is in neither."""
        quarters = {name: np.array_split(np.array(seen), 4) for name, seen in self._seen.items() if len(seen) >= 8}
        return {name: float(np.median(parts[3]) - np.median(parts[1])) for name, parts in quarters.items()}


def _bundle(folder: Path, recipe: Recipe, qualified: bool = False) -> Bundle:
    """Trained by a recipe, seed 0, and, if asked for, with its report."""
    watch = Quiet()
    pipeline.demonstrate(CELL, recipe, 0, folder / "demonstrations", watch)
    training.train(CELL, folder / "demonstrations", recipe, 0, "cpu", folder / "policy", watch)
    report = folder / "qualification" / "report.json" if qualified else None
    if report is not None:
        qualification.qualify(CELL, folder / "policy", 0, Plan(1000, sequential=False), report.parent, watch)
    return load_bundle(build_bundle(folder / "policy", report, folder / "bundle"), ANYBODY)


def _quick_bundle(folder: Path, rate: int) -> Path:
    """A policy of the usual size that asks for no motion, in a cell at another rate."""
    profile = load_hardware("ur5e").model_copy(update={"state_rate_hz": rate, "command_rate_hz": rate})
    (folder / "fast.yaml").write_text(yaml.safe_dump(profile.model_dump(mode="json")))
    content = load_cell(CELL).model_dump()
    content["robot"]["hardware"] = str(folder / "fast.yaml")
    content["control"] |= {"rate_hz": rate, "step_mm": 6 * 20 / rate, "step_deg": 2 * 20 / rate}
    cell = CellSpec.model_validate(content)
    size = insertion.contract(cell).observation_size
    (folder / "policy").mkdir()
    (folder / "policy" / "policy.onnx").write_bytes(_network([size, 256, 256, 4]))
    description = {
        "format": 1,
        "contract": insertion.contract(cell).to_json(),
        "cell": cell.model_dump(mode="json"),
        "cell_hash": cell.hash,
    }
    (folder / "policy" / "policy.json").write_text(json.dumps(description))
    return build_bundle(folder / "policy", None, folder / "bundle")


def _network(sizes: list[int]) -> bytes:
    """Layers of random weights, the last one of zeros."""
    rng, nodes, weights, value = np.random.default_rng(0), [], [], "observation"
    for i, (a, b) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        weights.append(numpy_helper.from_array((rng.normal(size=(a, b)) * (not last)).astype(np.float32), f"W{i}"))
        nodes.append(helper.make_node("MatMul", [value, f"W{i}"], ["action" if last else f"h{i}"]))
        if not last:
            nodes.append(helper.make_node("Tanh", [f"h{i}"], [value := f"t{i}"]))
    ends = (("observation", sizes[0]), ("action", sizes[-1]))
    seen, done = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in ends)
    graph = helper.make_graph(nodes, "nothing", [seen], [done], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "fault_matrix": fault_matrix,
    "ros_latency": ros_latency,
    "long_run": long_run,
}
