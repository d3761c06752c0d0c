"""Record a motion of the arm's own: a deployment's arm, supervisor and recorder, a motion in the policy's place."""

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.deploy.plan import Process, Station, arm_processes, environment
from robot_rlaas.deploy.press import HARD, Gentle
from robot_rlaas.deploy.run import follow, require_ros, started


def record_excitation(
    station: Station,
    joints: Sequence[str],
    targets_rad: np.ndarray,
    out: Path,
    *,
    plant: str = "ur5e_worn",
    arm: str = "virtual",
    seed: int = 0,
    domain_id: int | None = None,
    on_event: Callable[[str], None] = print,
) -> Path:
    """Let an arm follow joint targets through the supervisor, and record it.

    Args:
        station: cell, kinematics and limits.
        joints: names of the targets' columns.
        targets_rad: (N, k), one per control period of the cell, starting where the arm stands.
        out: the MCAP file; a folder of its name without the ending gets the processes' own logs.
        plant: how the virtual arm differs from the nominal one; a name or a path.
        arm: "virtual" starts a virtual arm on a ROS domain of its own; "real" takes the ROS environment as it is.
        seed: of the virtual arm's noise.
        domain_id: of ROS; by default a random one for a virtual arm.
        on_event: gets a line of text per event.

    Returns:
        `out`. It is there only once the motion was played to its end.

    Raises:
        InputError: if an argument cannot be used, or ROS 2 is not installed.
        DeploymentError: if a process dies or the motion is not played to its end.
    """
    if set(joints) != set(station.chain.joints):
        raise InputError(f"the motion is for joints {list(joints)}; the arm has {list(station.chain.joints)}")
    own = {"joints": list(joints), "targets_rad": targets_rad.tolist()}
    how = {"plant": plant, "arm": arm, "seed": seed, "domain_id": domain_id}
    return _record(station, "excite_node", own, Path(out), on_event, **how)


def record_press(
    station: Station,
    gentle: Gentle,
    out: Path,
    *,
    plant: str = "ur5e_worn",
    arm: str = "virtual",
    seed: int = 0,
    domain_id: int | None = None,
    on_event: Callable[[str], None] = print,
) -> Path:
    """Let an arm press its tip onto the plate at a few spots, and record it.

    The supervisor stops the arm at HARD times the force that is asked for, whatever the motion does.

    Args:
        station: cell, kinematics and limits.
        gentle: how hard, and how deep it searches.

    The other arguments, what is returned and what is raised are as of `record_excitation`.
    """
    _ = station.profile.topics.felt
    envelope = station.envelope._replace(force_N=min(station.envelope.force_N, HARD * gentle.force_N))
    own = {
        "joints": list(station.chain.joints),
        "cell": station.cell.model_dump(mode="json"),
        "chain": station.chain.to_json(),
        "envelope": envelope.to_json(),
        "gentle": gentle._asdict(),
    }
    how = {"plant": plant, "arm": arm, "seed": seed, "domain_id": domain_id}
    return _record(station._replace(envelope=envelope), "press_node", own, Path(out), on_event, **how)


def _record(
    station: Station,
    node: str,
    own: dict[str, Any],
    out: Path,
    on_event: Callable[[str], None],
    *,
    plant: str,
    arm: str,
    seed: int,
    domain_id: int | None,
) -> Path:
    """Start everything with this node in the role of the conductor: its lines are told, and with it everything ends."""
    require_ros()
    if domain_id is None and arm == "virtual":
        domain_id = random.SystemRandom().randint(1, 100)
    work, profile = out.with_suffix(""), station.profile
    if profile.topics.wrench is None:
        stops = "the torque of a joint" if profile.torque_limit_Nm else "where the joints are"
        on_event(f"the {profile.arm} measures no wrench: no force at its wrist stops it, only {stops}")
    for old in (out, work / "log.mcap", work / "supervisor.json"):
        old.unlink(missing_ok=True)
    params = own | {
        "period_s": station.cell.period_s,
        "state_rate_hz": profile.state_rate_hz,
        "topics": profile.topics.model_dump(),
        "log_file": str(work / "log.mcap"),
    }
    processes = (
        *arm_processes(station, work, arm=arm, plant=plant, seed=seed, domain_id=domain_id),
        Process("conductor", f"robot_rlaas.deploy.ros.{node}", params, environment(domain_id)),
    )
    with started(processes, work) as running:
        follow(running, work, on_event)
    counts = json.loads((work / "supervisor.json").read_text())
    changed = counts["limited"] + counts["blocked"] + counts["missed_periods"]
    if changed:
        on_event(f"the supervisor changed {changed} targets; the log holds what the arm was really sent")
    os.replace(work / "log.mcap", out)
    return out
