"""What a supervisor had to do, each kind by its own name."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

REJECTIONS = ("not_finite", "shape", "names", "stale", "future", "out_of_order", "jump", "not_ready", "grip")
OPERATOR = "operator"  # the cause of a stop that somebody wanted
LATE = ("joint_states_quiet", "wrench_quiet")  # holds of a machine that is too busy, not of a bad policy


@dataclass
class Counts:
    """Running totals of one supervisor.

    Attributes:
        joints: names, for `limited_joints`.
        targets: received, whatever became of them.
        periods: control periods played while targets streamed.
        missed_periods: periods without a new target; the last one was repeated.
        superseded: targets replaced by a newer one before their period came.
        clock_shifts: periods made one tick longer or shorter to follow the sender's clock.
        late_ticks: ticks whose setpoint was not sent, because the process came too late for it.
        late_stops: times that it came so late that the arm was braked instead.
        ignored_while_latched, ignored_while_held: targets that arrived while the arm had to stand.
        caught_up: targets limited because the arm was still catching up after it had been held up.
        rejected: targets refused, by reason.
        limited: periods in which a position, speed or acceleration limit changed the target.
        limited_joints: the same by joint; limited_worst_rad: the largest such change.
        blocked: periods refused because arm or tool would have come too near to a box, the table or the arm itself.
        slowed: periods made slower because the tool would have become too fast for a speed zone.
        cautious: periods made slower because the policy saw what it was not qualified on.
        holds: stops that ended by themselves, by cause.
        stops: latched stops, by cause.
        deadman: times that targets ceased while a motion was under way.
        worst_latency_s: of a target, from its stamp to its arrival.
        peak_force_N: largest wrist force against its zero.
    """

    joints: tuple[str, ...]
    targets: int = 0
    periods: int = 0
    missed_periods: int = 0
    superseded: int = 0
    clock_shifts: int = 0
    late_ticks: int = 0
    late_stops: int = 0
    ignored_while_latched: int = 0
    ignored_while_held: int = 0
    caught_up: int = 0
    rejected: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(REJECTIONS, 0)))
    limited: int = 0
    limited_joints: Counter[str] = field(default_factory=Counter)
    limited_worst_rad: float = 0.0
    blocked: int = 0
    slowed: int = 0
    cautious: int = 0
    holds: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    deadman: int = 0
    worst_latency_s: float = 0.0
    peak_force_N: float = 0.0

    @property
    def violations(self) -> int:
        """Everything that must not happen with a good policy in a healthy station.

        Not in it is what a busy machine does: missed periods, and targets and motions held up by a late sensor. Nor is
        an operator's stop, nor caution.
        """
        refused = self.rejected.total() - self.rejected["not_ready"]
        stepped_in = self.limited + self.blocked + self.slowed + self.deadman
        held = sum(count for cause, count in self.holds.items() if cause not in LATE)
        return refused + stepped_in + held + self.stops.total() - self.stops[OPERATOR]

    def limit(self, limited: np.ndarray, change_rad: np.ndarray) -> None:
        """Note a period in which `limited` (k,) bool joints were changed by `change_rad` (k,)."""
        self.limited += 1
        self.limited_joints.update(name for name, is_limited in zip(self.joints, limited) if is_limited)
        self.limited_worst_rad = max(self.limited_worst_rad, float(np.abs(change_rad[limited]).max()))

    def to_json(self) -> dict[str, Any]:
        """Plain content, `violations` first."""
        content = {key: dict(value) if isinstance(value, Counter) else value for key, value in vars(self).items()}
        del content["joints"]
        return {"violations": self.violations, **content}
