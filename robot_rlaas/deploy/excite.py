"""Record an excitation motion: a deployment's arm, supervisor and recorder, with a motion in the policy's place."""

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.deploy.plan import Process, Station, arm_processes, environment
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
    require_ros()
    if set(joints) != set(station.chain.joints):
        raise InputError(f"the motion is for joints {list(joints)}; the arm has {list(station.chain.joints)}")
    if domain_id is None and arm == "virtual":
        domain_id = random.SystemRandom().randint(1, 100)
    out = Path(out)
    work = out.with_suffix("")
    for old in (out, work / "log.mcap", work / "supervisor.json"):
        old.unlink(missing_ok=True)
    processes = (
        *arm_processes(station, work, arm=arm, plant=plant, seed=seed, domain_id=domain_id),
        _player(station, joints, targets_rad, work, domain_id),
    )
    with started(processes, work) as running:
        follow(running, work, on_event)
    counts = json.loads((work / "supervisor.json").read_text())
    changed = counts["limited"] + counts["blocked"] + counts["missed_periods"]
    if changed:
        on_event(f"the supervisor changed {changed} targets; the log holds what the arm was really sent")
    os.replace(work / "log.mcap", out)
    return out


def _player(
    station: Station, joints: Sequence[str], targets_rad: np.ndarray, work: Path, domain_id: int | None
) -> Process:
    """In the role of the conductor: what it prints is told, and when it ends everything ends."""
    profile = station.profile
    params = {
        "targets_rad": targets_rad.tolist(),
        "joints": list(joints),
        "period_s": station.cell.period_s,
        "state_rate_hz": profile.state_rate_hz,
        "topics": profile.topics.model_dump(),
        "log_file": str(work / "log.mcap"),
    }
    return Process("conductor", "robot_rlaas.deploy.ros.excite_node", params, environment(domain_id))
