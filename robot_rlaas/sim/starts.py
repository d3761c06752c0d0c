"""Where the parts and fixtures of a handling cell are when an episode starts: a draw's numbers as poses."""

from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.fixtures import Door, Fixture, Kit, Tray, Vise
from robot_rlaas.cell.handling import HandlingTask


class Flat(NamedTuple):
    """Poses whose z is the base frame's: position (..., 3), m, and yaw (...,), rad."""

    p: np.ndarray
    yaw: np.ndarray

    def at(self, other: "Flat") -> "Flat":
        """`other`, given in this frame, in the frame that this one is given in."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x, y, z = (other.p[..., i] for i in range(3))
        turned = np.stack(np.broadcast_arrays(c * x - s * y, s * x + c * y, z), axis=-1)
        return Flat(self.p + turned, self.yaw + other.yaw)


class Scene(NamedTuple):
    """What a draw says, one row per episode.

    Attributes:
        parts: (n, parts) true poses of the parts' bases.
        fixtures: (n, standing) true poses of what stands on the table, in the order of `standing`.
        bias_m: (n, parts, 2) and
        bias_rad: (n, parts): seen minus true.
        mass_kg: (n, parts).
        phase: (n, doors) where in its cycle each door is, from 0 to 1.
        grip_friction: (n,) of the gripper's pads.
    """

    parts: Flat
    fixtures: Flat
    bias_m: np.ndarray
    bias_rad: np.ndarray
    mass_kg: np.ndarray
    phase: np.ndarray
    grip_friction: np.ndarray

    @property
    def bias(self) -> np.ndarray:
        """(n, parts, 3): x and y, m, and yaw, rad, seen minus true."""
        return np.concatenate([self.bias_m, self.bias_rad[..., None]], axis=-1)


def standing(task: HandlingTask) -> list[Any]:
    """The fixtures that stand on the table: all but the doors."""
    return [f for f in task.fixtures if not isinstance(f, Door)]


def nominal(fixture: Fixture) -> Flat:
    """Where the robot believes that a fixture stands."""
    return Flat(np.array(fixture.at_mm) / 1000, np.deg2rad(fixture.yaw_deg))


def seats(task: HandlingTask) -> dict[str, tuple[int, Flat]]:
    """Where parts can be placed: the number of the fixture that stands there, and the seat's pose in its frame."""
    found: dict[str, tuple[int, Flat]] = {}
    for i, fixture in enumerate(standing(task)):
        if isinstance(fixture, Vise):
            found[fixture.name] = i, Flat(np.zeros(3), np.zeros(()))
        elif isinstance(fixture, Kit):
            for pocket in fixture.pockets:
                at = Flat(np.array([*pocket.at_mm, 0.0]) / 1000, np.deg2rad(pocket.yaw_deg))
                found[f"{fixture.name}.{pocket.name}"] = i, at
    return found


def scene(task: HandlingTask, start: np.ndarray) -> Scene:
    """The scene of `Draw.start` (n, len(task.start_ranges))."""
    column = dict(zip(task.start_ranges, start.T))

    def stacked(name: str, ends: tuple[str, ...], scale: float) -> np.ndarray:
        return scale * np.stack([column[f"{name}_{end}"] for end in ends], axis=-1)

    def poses(name: str, prefix: str = "") -> Flat:
        xy = stacked(name, (f"{prefix}x_mm", f"{prefix}y_mm"), 1e-3)
        return Flat(np.concatenate([xy, 0.0 * xy[:, :1]], axis=1), np.deg2rad(column[f"{name}_{prefix}yaw_deg"]))

    fixtures = [nominal(f).at(poses(f.name, "off_")) for f in standing(task)]
    trays = {f.name: (f, pose) for f, pose in zip(standing(task), fixtures) if isinstance(f, Tray)}
    dealt = {name: np.argsort(_slots(tray, column), axis=1) for name, (tray, _) in trays.items()}
    parts, taken = [], dict.fromkeys(trays, 0)
    for part in task.parts:
        tray, pose = trays[part.start]
        slot = slots_m(tray)[dealt[part.start][:, taken[part.start]]]
        taken[part.start] += 1
        jitter = poses(part.name)
        parts.append(pose.at(Flat(slot + jitter.p, jitter.yaw)))
    names = [part.name for part in task.parts]
    doors = [column[f"{f.name}_phase"] for f in task.fixtures if isinstance(f, Door)]
    return Scene(
        parts=Flat(np.stack([p.p for p in parts], axis=1), np.stack([p.yaw for p in parts], axis=1)),
        fixtures=Flat(np.stack([f.p for f in fixtures], axis=1), np.stack([f.yaw for f in fixtures], axis=1)),
        bias_m=np.stack([stacked(name, ("bias_x_mm", "bias_y_mm"), 1e-3) for name in names], axis=1),
        bias_rad=np.stack([np.deg2rad(column[f"{name}_bias_yaw_deg"]) for name in names], axis=1),
        mass_kg=np.stack([column[f"{name}_mass_kg"] for name in names], axis=1),
        phase=np.stack(doors, axis=1) if doors else np.zeros((len(start), 0)),
        grip_friction=column["grip_friction"],
    )


class Machines(NamedTuple):
    """What moves besides the robot, (n, moving fixtures) each, from 0, closed, to 1, open.

    Attributes:
        told: where it is to go. A vise is told to open; when it is to close is the task's business.
        at: where it is, if nothing held it up.
        open_s: for so long a door has been told to be open; negative while it is told to be closed.
    """

    told: np.ndarray
    at: np.ndarray
    open_s: np.ndarray


def machines(task: HandlingTask, phase: np.ndarray, time_s: np.ndarray | float) -> Machines:
    """What vises and doors do on their own, so long after the start.

    Args:
        task: what the cell file says.
        phase: (n, doors) from `Scene`.
        time_s: (n,) or one for all.
    """
    n, doors = len(phase), 0
    told, at, since = (np.ones((n, len(task.moving))) for _ in range(3))
    for i, fixture in enumerate(task.moving):
        if isinstance(fixture, Door):
            time = np.mod(phase[:, doors] * fixture.period_s + time_s, fixture.period_s)
            open_s = fixture.open_share * fixture.period_s
            told[:, i] = time < open_s
            slid = np.where(time < open_s, time, time - open_s) / fixture.slide_s
            at[:, i] = np.where(time < open_s, np.minimum(slid, 1.0), np.maximum(1.0 - slid, 0.0))
            since[:, i] = np.where(time < open_s, time, time - fixture.period_s)
            doors += 1
    return Machines(told, at, since)


def _slots(tray: Tray, column: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([column[f"{tray.name}_slot_{i}"] for i in range(tray.slots[0] * tray.slots[1])], axis=1)


def slots_m(tray: Tray) -> np.ndarray:
    """(slots, 3): the middles of the slots in the tray's frame, m."""
    x, y = ((np.arange(n) - (n - 1) / 2) * pitch / 1000 for n, pitch in zip(tray.slots, tray.pitch_mm))
    return np.array([(a, b, 0.0) for a in x for b in y])
