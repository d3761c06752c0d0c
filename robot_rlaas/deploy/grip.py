"""What the supervisor lets through to the gripper.

A stop tells the gripper nothing: its controller holds the position that it was told last, so what is in the hand stays
there. A hand that opened whenever something stops the arm would drop the part, from any height, onto anything.
"""

import math
from collections.abc import Sequence

from robot_rlaas.cell.hardware import Gripper
from robot_rlaas.deploy.arrivals import FUTURE_S, STALE_PERIODS, STALE_S
from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.events import Event, Journal

ROUNDING = 1e-6  # of the gripper's way


class GripGuard:
    """Checks the positions that are wanted of one gripper.

    Args:
        gripper: its joint, and its range.
        period_s: between two positions.
        counts, journal: are told what is refused.
    """

    def __init__(self, gripper: Gripper, period_s: float, counts: Counts, journal: Journal) -> None:
        self._gripper, self._counts, self._journal = gripper, counts, journal
        self._within_s = max(STALE_PERIODS * period_s, STALE_S)

    def receive(
        self, names: Sequence[str], position: Sequence[float], age_s: float, now_s: float, stands: bool
    ) -> float | None:
        """The position to send, or None.

        Args:
            names: the gripper's joint alone.
            position: as many.
            age_s: how old its stamp is on arrival.
            now_s: time of arrival.
            stands: the arm has to stand: then the gripper does not move either.
        """
        if stands:
            return None
        wrong = self._wrong(names, position, age_s)
        if wrong is not None:
            self._counts.rejected[wrong.cause] += 1
            self._journal.note(wrong, now_s)
            return None
        return float(position[0])

    def _wrong(self, names: Sequence[str], position: Sequence[float], age_s: float) -> Event | None:
        joint, low, high = self._gripper.joint, *sorted((self._gripper.closed, self._gripper.open))
        if list(names) != [joint] or len(position) != 1:
            return Event("refused", "grip", f"a gripper's position is of {joint} alone, not of {', '.join(names)}")
        if not -FUTURE_S <= age_s <= self._within_s:
            return Event("refused", "grip", "a gripper's position is too old", joint, age_s, self._within_s, "s")
        if not math.isfinite(position[0]):
            return Event("refused", "grip", "a gripper's position is no number", joint)
        room = ROUNDING * (high - low)
        if not low - room <= position[0] <= high + room:
            limit = high if position[0] > high else low
            return Event("refused", "grip", "a gripper's position is beyond its range", joint, position[0], limit)
        return None
