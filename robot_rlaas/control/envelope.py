"""The limits of a cell on an arm: what its hardware profile, its cell and its bundle allow together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.cell.requirements import Box
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope, joint_range

OVERSHOOT_DEG = 0.5  # of a servo beyond its target, at most: targets keep out of joint margins by so much more
LOWEST = ("upper_rad", "speed_rad_s", "acceleration_rad_s2", "force_N")
BOXES = (("keep_out_min_m", "keep_out_max_m"), ("zone_min_m", "zone_max_m", "zone_speed_m_s"))


class Tightest(NamedTuple):
    """Limits of several origins in one.

    Attributes:
        envelope: no value of it is wider than in any of them. Its arrays cannot be written to.
        origin: who set each limit: the name of the one that is alone tighter than the first somewhere, or the first's.
    """

    envelope: Envelope
    origin: dict[str, str]


def envelope_of(cell: CellSpec, profile: HardwareProfile, chain: SerialChain, guarded_m: np.ndarray) -> Envelope:
    """The tighter of a cell and a hardware profile.

    Args:
        cell: says its keep-out boxes, speed zones, joint margin, and how fast joints may be in it.
        profile: of the arm.
        chain: its kinematics, with the ranges of its model.
        guarded_m: (m, 3) points of the tool, in the tool frame.
    """
    need = cell.requirements
    zones = need.speed_zones.zones if need.speed_zones else ()
    margin = np.deg2rad(need.joint_margin.margin_deg + OVERSHOOT_DEG) if need.joint_margin else 0.0
    lower, upper = joint_range(chain, profile.position_limit_rad)
    (low, high), (zone_low, zone_high) = _corners(cell.keep_out), _corners(zones)
    return Envelope(
        lower_rad=lower + margin,
        upper_rad=upper - margin,
        speed_rad_s=np.minimum(profile.velocity_limit_rad_s, cell.control.joint_speed_rad_s),
        acceleration_rad_s2=np.minimum(profile.acceleration_limit_rad_s2, cell.control.joint_acceleration_rad_s2),
        keep_out_min_m=low,
        keep_out_max_m=high,
        guarded_m=guarded_m,
        force_N=profile.force_limit_N,
        zone_min_m=zone_low,
        zone_max_m=zone_high,
        zone_speed_m_s=np.array([zone.speed_mm_s for zone in zones]) / 1000,
    )


def tightest(first: tuple[str, Envelope], *others: tuple[str, Envelope]) -> Tightest:
    """What all of these (name, envelope) allow: narrowest ranges, lowest limits, everybody's boxes and points."""
    name, narrowest = first
    fields, origin = narrowest._asdict(), dict.fromkeys(Envelope._fields, name)
    for name, other in others:
        for field in ("lower_rad", *LOWEST):
            narrow = (np.maximum if field == "lower_rad" else np.minimum)(fields[field], getattr(other, field))
            if np.any(narrow != fields[field]):
                fields[field], origin[field] = narrow, name
        for columns in (*BOXES, ("guarded_m",)):
            new = _not_in(fields, other, columns)
            for field in columns if new.any() else ():
                fields[field] = np.concatenate([fields[field], getattr(other, field)[new]])
                origin[field] = f"{origin[field]} and {name}"
    arrays = {field: _frozen(value) for field, value in fields.items() if field != "force_N"}
    return Tightest(Envelope(**arrays, force_N=float(fields["force_N"])), origin)


def _not_in(envelope: dict[str, np.ndarray], other: Envelope, fields: tuple[str, ...]) -> np.ndarray:
    """Which rows of the other's boxes or points are none of those that are there, (b,) bool."""
    known, rows = (list(zip(*(one[field] for field in fields))) for one in (envelope, other._asdict()))
    new = [not any(all(np.array_equal(a, b) for a, b in zip(row, old)) for old in known) for row in rows]
    return np.array(new, dtype=bool)


def _frozen(values: np.ndarray) -> np.ndarray:
    values = np.array(values, dtype=float)
    values.flags.writeable = False
    return values


def _corners(boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest corners (b, 3) of boxes, m."""
    center, size = (np.array([getattr(b, key) for b in boxes]).reshape(-1, 3) for key in ("center_mm", "size_mm"))
    return (center - size / 2) / 1000, (center + size / 2) / 1000
