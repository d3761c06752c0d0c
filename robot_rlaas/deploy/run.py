"""Run a deployment: start the processes, follow the conductor, stop them, write down what happened."""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from robot_rlaas.bundle import Trust, load_bundle
from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, Line
from robot_rlaas.deploy.plan import Process, domain_rule, plan
from robot_rlaas.deploy.ui import Ui
from robot_rlaas.files import write_json

STOP_S = 5.0
RULES = {"enforce": "enforced", "tell": "told, not enforced", "unknown": "the bundle has none, so nothing is enforced"}
BAD_INPUT = 2  # as of the command line: the exit code of a process that was given what it cannot use
LOOK_S = 0.1  # how often it is looked whether all processes live
RESULTS = ("deployment.json", "score.json", "supervisor.json", "policy.json")
STOP_ORDER = ("conductor", "policy", "supervisor", "watchdog", "virtual_arm", "driver", "recorder")


class DeploymentError(StageError):
    """A deployment that began and could not be brought to its end."""


class Deployment(NamedTuple):
    """How a deployment went.

    Attributes:
        attempts: {success, cycle_time_s, peak_force_N, keep_out} and more each, as the virtual arm counted them; of a
            real arm as the policy's node saw them.
        successes: how many succeeded.
        violations: everything the supervisor had to step in for.
        supervisor: its counts, by kind.
        latency: p50_s, p99_s, max_s and count, from the stamp of a joint state to the target computed from it.
        wall_s: from the first process's start to the last one's end.
        counted_by: "virtual_arm" or "policy".
        arm, plant, seed, domain_id: as asked for.
        cell, cell_hash, bundle_sha256: what was deployed.
        log: the MCAP file.
        origin: who vouches for the bundle, in words.
        trusted: whether that is somebody who is trusted here.
        domain: how far what the policy saw was from what it was qualified on: `inside.Inside.told`; None where the
            bundle does not know.
        domain_rule: what followed where it was too far: "enforce", "tell", or "unknown".
    """

    attempts: tuple[dict[str, Any], ...]
    successes: int
    violations: int
    supervisor: dict[str, Any]
    latency: dict[str, float]
    wall_s: float
    counted_by: str
    arm: str
    plant: str
    seed: int
    domain_id: int | None
    cell: str
    cell_hash: str
    bundle_sha256: str
    log: str
    origin: str = ""
    trusted: bool = False
    domain: dict[str, Any] | None = None
    domain_rule: str = "unknown"


def deploy(
    bundle: Path,
    out: Path,
    *,
    trust: Trust,
    attempts: int = 10,
    plant: str = "ur5e_worn",
    arm: str = "virtual",
    seed: int = 0,
    domain_id: int | None = None,
    ui: Ui | None = None,
    domain: str = "enforce",
    perception: Path | None = None,
    log_mb: float | None = None,
    line: Line = AS_THE_PROFILE_SAYS,
    on_event: Callable[[str], None] = print,
) -> Deployment:
    """Let a bundle drive an arm over ROS 2.

    Args:
        bundle: a directory or a .zip.
        trust: whose bundles may drive an arm.
        out: gets deployment.json, log.mcap, score.json, supervisor.json, policy.json and the processes' own logs.
        attempts: how many parts.
        plant: how the virtual arm differs from the nominal one; a name or a path.
        arm: "virtual" starts a virtual arm on a ROS domain of its own; "real" takes the ROS environment as it is and
            expects the arm's driver there, or starts it where the hardware profile has one; and a camera: its pictures
            with `perception`, or else the plate's pose.
        seed: which parts the virtual arm is given.
        domain_id: of ROS, 0 to 101, for a virtual arm; by default a random one.
        ui: where the operator's page shall be; by default there is none.
        perception: the file that says how a real arm's camera sees the plate; see docs/deployment.md.
        log_mb: a log file that is larger is closed, and the log goes on in log_0001.mcap and so on; None: in one file.
        line: how the arm is reached.
        domain: "enforce" slows and then holds an arm whose policy sees what it was not qualified on; "tell" tells it.
        on_event: gets a line of text per event.

    Raises:
        InputError: if the bundle or an argument cannot be used, or ROS 2 is not installed. Nothing is written then.
        DeploymentError: if a process dies or the attempts cannot be finished. deployment.json is not written then.
    """
    require_ros()
    if domain_id is None and arm == "virtual":
        domain_id = random.SystemRandom().randint(1, 100)
    out, loaded = Path(out), load_bundle(bundle, trust)
    asked = {"attempts": attempts, "arm": arm, "plant": plant, "seed": seed, "domain_id": domain_id}
    processes = plan(loaded, out, **asked, ui=ui, domain=domain, perception=perception, log_mb=log_mb, line=line)
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)
    rule = domain_rule(loaded, domain)
    on_event(f"bundle {loaded.manifest['name']}: {loaded.origin}")
    on_event(f"operating domain: {RULES[rule]}")
    start = time.monotonic()
    with started(processes, out) as running:
        follow(running, out, on_event)
    supervisor, policy = (json.loads((out / f"{name}.json").read_text()) for name in ("supervisor", "policy"))
    scored = json.loads((out / "score.json").read_text())["attempts"] if arm == "virtual" else policy["results"]
    counted = tuple(scored[:attempts])
    deployment = Deployment(
        attempts=counted,
        successes=sum(attempt["success"] for attempt in counted),
        violations=supervisor["violations"],
        supervisor=supervisor,
        latency=policy["latency"],
        wall_s=time.monotonic() - start,
        counted_by="virtual_arm" if arm == "virtual" else "policy",
        arm=arm,
        plant=plant,
        seed=seed,
        domain_id=domain_id,
        cell=loaded.cell.name,
        cell_hash=loaded.cell.hash,
        bundle_sha256=loaded.sha256,
        log=str(out / "log.mcap"),
        origin=str(loaded.origin),
        trusted=bool(loaded.origin.name),
        domain=policy["domain"],
        domain_rule=rule,
    )
    write_json(out / "deployment.json", deployment._asdict())
    return deployment


def require_ros() -> None:
    """Raise an InputError if ROS 2's Python packages are not there."""
    missing = [name for name in ("rclpy", "mcap") if find_spec(name) is None]
    if missing:
        raise InputError(
            f"{', '.join(missing)} cannot be imported: ROS 2 is missing", fix="pip install robot_rlaas[ros]"
        )


@contextlib.contextmanager
def started(
    processes: Sequence[Process], out: Path, stop_s: float = STOP_S
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Processes that run inside the `with` block, by name; whatever happens in it, they are stopped in good order.

    Each has its own process group, so Ctrl-C reaches this process alone, and its own log under `out`/logs. The
    conductor's output is a pipe instead. Who does not stop within `stop_s` is killed.
    """
    (out / "logs").mkdir(parents=True, exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for process in processes:
            with (out / "logs" / f"{process.name}.txt").open("wb") as log:
                running[process.name] = subprocess.Popen(
                    process.argv(out),
                    env=os.environ | process.environment,
                    stdout=subprocess.PIPE if process.name == "conductor" else log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
        yield running
    finally:
        for name in sorted(running, key=lambda n: STOP_ORDER.index(n) if n in STOP_ORDER else -1):
            _stop(running[name], stop_s)


def follow(running: dict[str, subprocess.Popen[bytes]], out: Path, on_event: Callable[[str], None]) -> None:
    """Hand on the conductor's lines until it ends.

    Raises:
        DeploymentError: if it fails, or another process ends before it.
    """
    conductor = running["conductor"]
    assert conductor.stdout is not None
    pending, last = b"", ""
    while True:
        if select.select([conductor.stdout], [], [], LOOK_S)[0]:
            content = os.read(conductor.stdout.fileno(), 4096)
            if not content:
                break
            *lines, pending = (pending + content).split(b"\n")
            for line in lines:
                last = line.decode(errors="replace")
                on_event(last)
        look_after({name: process for name, process in running.items() if name != "conductor"}, out)
    if conductor.wait(STOP_S) != 0:
        raise DeploymentError(f"{last or 'the conductor failed'}\n{_tail(out, 'conductor')}{_tail(out, 'policy')}")


def look_after(running: Mapping[str, subprocess.Popen[bytes]], out: Path) -> None:
    """Raises DeploymentError if one of them has ended, or InputError if it was given what it cannot use."""
    for name, process in running.items():
        if process.poll() is not None:
            kind = InputError if process.returncode == BAD_INPUT else DeploymentError
            raise kind(f"the process '{name}' ended with code {process.returncode}\n{_tail(out, name)}")


def _stop(process: subprocess.Popen[bytes], stop_s: float) -> None:
    """SIGINT, and what does not listen is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _tail(out: Path, name: str) -> str:
    file = out / "logs" / f"{name}.txt"
    lines = file.read_text(errors="replace").splitlines()[-8:] if file.is_file() else []
    return "".join(f"  {name}: {line}\n" for line in lines)
