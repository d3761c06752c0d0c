"""Demonstrations on an arm: the same page, devices and dataset as in simulation, with the arm's own measurements."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, Line
from robot_rlaas.cell.kinds import insertion_only
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.deploy.demonstration import OnArm
from robot_rlaas.deploy.plan import Station
from robot_rlaas.deploy.run import require_ros
from robot_rlaas.jobs.growing import Growing, Settings, made_by, recorder_at
from robot_rlaas.jobs.pipeline import Cell, Watch
from robot_rlaas.jobs.policies import EXPERT
from robot_rlaas.sim.capsules import capsules_of
from robot_rlaas.sim.measured import Measured
from robot_rlaas.teleop.recorder import Recorder
from robot_rlaas.teleop.starts import AsTheyCome


@contextmanager
def at_arm(cell: Cell, settings: Settings, out: Path, watch: Watch) -> Iterator[tuple[Recorder, "Watched"]]:
    """A recorder at the arm that `settings` name, and what can be shown of it.

    Everything that the arm said meanwhile is logged beside the dataset, in a folder per session: `out`_arm/TIME.

    Raises:
        InputError: if the cell cannot go onto an arm, a policy may not drive this one, or ROS 2 is not installed.
        DeploymentError: if a process of the arm ends.
    """
    may_be_demonstrated(cell.spec)
    may_drive(settings)
    dataset = Growing(out, cell.spec, made_by(settings, whose(cell.spec, settings)), start_axes=())
    how: dict[str, Any] = {"plant": settings.plant, "domain_id": settings.domain_id, "line": settings.line}
    with place_at(cell, settings.arm or "", out, watch, seed=settings.seed + len(dataset.kept), **how) as place:
        recorder = recorder_at(place, settings, dataset, AsTheyCome(len(dataset.kept)))
        yield recorder, Watched(cell, place)


@contextmanager
def place_at(
    cell: Cell,
    arm: str,
    out: Path,
    watch: Watch,
    *,
    plant: str,
    seed: int,
    domain_id: int | None,
    scored: bool = True,
    line: Line = AS_THE_PROFILE_SAYS,
) -> Iterator[OnArm]:
    """An arm under its supervisor while the block lasts; it logs beside `out`, see `at_arm`.

    `scored` as in `OnArm`, the others as in `deploy.run.deploy`.
    """
    require_ros()
    from robot_rlaas.deploy.ros.hand_node import hand

    shape = capsules_of(cell.spec, cell.workcell)
    station = Station(cell.spec, cell.workcell.chain, cell.workcell.envelope, capsules=shape, line=line)
    if domain_id is None and arm == "virtual":
        domain_id = random.SystemRandom().randint(1, 100)
    log = out.with_name(f"{out.name}_arm") / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    watch.say(f"  starting the arm's processes; they log into {log}")
    with hand(station, log, arm=arm, plant=plant, seed=seed, domain_id=domain_id) as wire:
        place = OnArm(station, wire, scored)
        try:
            yield place
        finally:
            place.hold()


class Watched:
    """See `Shown`: an arm as it is measured."""

    def __init__(self, cell: Cell, place: OnArm) -> None:
        self.workcell, self._place = cell.workcell, place
        self._measured = Measured(cell.spec, cell.workcell)

    @property
    def frame(self) -> Pose:
        """See `Shown`."""
        return self._place.frame

    @property
    def backend(self) -> Measured:
        """See `Shown`. With everything where it is now."""
        self._measured.put(self._place.q_rad, self._place.frame)
        return self._measured


def whose(cell: CellSpec, settings: Settings) -> dict[str, Any]:
    """Which arm it is, for the lineage. No bundle drives it: a person does."""
    virtual = settings.arm == "virtual"
    plant = {"plant": settings.plant, "seed": settings.seed} if virtual else {"plant": None}
    return {"arm": settings.arm, **plant, "hardware": cell.robot.hardware, "bundle": None}


def may_be_demonstrated(cell: CellSpec) -> None:
    """Raises InputError for a cell whose demonstrations need more than joints, a wrench and the plate's pose."""
    insertion_only(cell)
    if cell.cameras:
        raise InputError(
            f"the cell '{cell.name}' has cameras, and pictures of an arm's cameras are not recorded yet",
            key="cameras",
            fix="record it in simulation, or leave its cameras out",
        )


def may_drive(settings: Settings) -> None:
    """Raises InputError for a policy that nobody vouches for, on a real arm. The scripted expert is part of this."""
    from robot_rlaas.bundle import Trust, load_bundle
    from robot_rlaas.bundle.trust import trusted_keys

    if settings.arm == "real" and settings.policy not in (None, EXPERT):
        load_bundle(Path(settings.policy), Trust(trusted_keys()))
