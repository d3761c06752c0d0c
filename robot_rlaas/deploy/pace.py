"""Real time without drift: which ticks are due."""

CATCH_UP_S = 0.2
LATE_TICKS = 3  # setpoints that come later than that are not caught up with: they would jump


class Pace:
    """Ticks of one period on a clock that the caller reads.

    Args:
        period_s: between ticks.
        start_s: time of tick zero, which is not due any more.
    """

    def __init__(self, period_s: float, start_s: float) -> None:
        self._period_s, self._next_s = period_s, start_s + period_s

    def due(self, now_s: float) -> list[float]:
        """The nominal times of the ticks that have come due since the last call, oldest first.

        A process that was stopped for longer than CATCH_UP_S goes on from now instead of racing through the past.
        """
        if now_s - self._next_s > CATCH_UP_S:
            self._next_s = now_s
        times = []
        while self._next_s <= now_s:
            times.append(self._next_s)
            self._next_s += self._period_s
        return times
