"""A dataset that grows by one episode at a time, and the recorder that stores into it, in simulation or at an arm."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, Line
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.episode import Episode
from robot_rlaas.data.lerobot import append_episode, read_dataset, write_dataset
from robot_rlaas.data.lineage import Made, lineage_of, read_lineage
from robot_rlaas.env.place import Place
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.teleop.pilot import Pilot
from robot_rlaas.teleop.recorder import Order, Recorder
from robot_rlaas.teleop.session import Session

SPEED = 0.5  # of the tool, to begin with
PRIORITY = -10  # where the system allows it: other work on the machine must not make frames late


class Settings(NamedTuple):
    """What is recorded.

    Attributes:
        episodes: successes that are wanted.
        operator: who demonstrates.
        seed: of the starts.
        policy: as in `policies.load`: acts until the operator takes over.
        port: of the page; the next free one is taken.
        device, options: as in `teleop.devices.device`: moves the tool, beside the page.
        twist, domain_id: as in `teleop.twist.twists`: so does this.
        arm, plant, line: as in `deploy.run.deploy`, to record at an arm; without one, in simulation.
        starts: numbers of starts that come before all others; an arm has none.
    """

    episodes: int
    operator: str
    seed: int = 0
    policy: str | None = None
    port: int = 8080
    device: str | None = None
    options: tuple[str, ...] = ()
    twist: str | None = None
    domain_id: int | None = None
    arm: str | None = None
    plant: str = "ur5e_worn"
    starts: tuple[int, ...] = ()
    line: Line = AS_THE_PROFILE_SAYS


class Growing:
    """A dataset that grows by one episode at a time.

    Args:
        path: its directory; it is made when the first episode comes.
        cell: of every episode.
        made: how a new one comes about.
        start_axes: as in the lineage.

    Attributes:
        kept: the episodes that were there.

    Raises:
        InputError: if another dataset is there, or something else.
    """

    def __init__(self, path: Path, cell: CellSpec, made: Made, start_axes: tuple[str, ...]) -> None:
        contract = contract_of(cell)
        self._path, self._lineage = path, lineage_of(cell, contract, start_axes, made)
        sizes_px = {name: camera.resolution_px for name, camera in cell.cameras.items()}
        self._cameras = {name: (height, width) for name, (width, height) in sizes_px.items()}
        self.kept: list[Episode] = []
        if path.exists():
            there = read_lineage(path)
            if there.cell_hash != cell.hash:
                message = f"it holds episodes of another cell than {cell.name} as it is now"
                raise InputError(message, file=path, fix="name another --out, and merge what belongs together")
            if (was := _where(there.made)) != (now := _where(made)):
                message = f"its episodes were recorded {was}; these would be recorded {now}"
                raise InputError(message, file=path, fix="name another --out")
            self.kept = read_dataset(path, contract)

    def store(self, episode: Episode) -> None:
        """One more, on disk when this returns."""
        if self._path.exists():
            append_episode(self._path, episode)
        else:
            write_dataset(self._path, self._lineage, [episode], cameras=self._cameras)


def recorder_at(place: Place, settings: Settings, dataset: Growing, order: Order) -> Recorder:
    """A recorder at this place that stores into `dataset`, on top of what is there."""
    from robot_rlaas.jobs.policies import load

    pilot = Pilot(place.cell.control, place.contract)
    pilot.speed = SPEED
    policy = load(settings.policy, place.cell, 1).policy if settings.policy else None
    good = sum(episode.success for episode in dataset.kept)
    stored = (good, len(dataset.kept) - good)
    return Recorder(Session(place, pilot, settings.operator, policy), order, stored, settings.episodes, dataset.store)


def made_by(settings: Settings, whose: dict[str, Any] | None = None) -> Made:
    """How a dataset comes about; `whose` says which arm it is of."""
    policy = {"policy": settings.policy} if settings.policy else {}
    return Made(by="rlaas demos record", settings=policy | (whose or {}))


def _where(made: Made) -> str:
    arm = made.settings.get("arm")
    told = ", ".join(f"{key} {made.settings[key]}" for key in ("plant", "hardware") if made.settings.get(key))
    return f"on the {arm} arm ({told})" if arm else "in simulation"


def come_first() -> None:
    """Let no other work on the machine make this process late, where the system allows it."""
    with suppress(PermissionError):
        os.nice(PRIORITY)
