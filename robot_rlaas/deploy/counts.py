"""What a supervisor had to do, each kind by its own name."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

REJECTIONS = ("not_finite", "shape", "names", "stale", "future", "not_ready")
LATCHES = ("force_stop", "sensor_lost")


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
        ignored_while_latched: targets that arrived while a stop was latched.
        rejected: targets refused, by reason.
        limited: periods in which a position, speed or acceleration limit changed the target.
        limited_joints: the same by joint; limited_worst_rad: the largest such change.
        blocked: periods refused because the tool would have entered a keep-out box.
        stops: latched stops, by reason.
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
    ignored_while_latched: int = 0
    rejected: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(REJECTIONS, 0)))
    limited: int = 0
    limited_joints: Counter[str] = field(default_factory=Counter)
    limited_worst_rad: float = 0.0
    blocked: int = 0
    stops: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(LATCHES, 0)))
    deadman: int = 0
    worst_latency_s: float = 0.0
    peak_force_N: float = 0.0

    @property
    def violations(self) -> int:
        """Everything that must not happen with a good policy in a healthy station. Missed periods are not in it."""
        return self.rejected.total() + self.limited + self.blocked + self.stops.total() + self.deadman

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
