"""Whether frames are whole, in their order, and belong to the actions beside them."""

from collections.abc import Iterator

import numpy as np

from robot_rlaas.data.quality.findings import Data, Finding, Severity, counted

SAME = 1e-5  # of an action: float32 through a file
MOST_SHIFT = 10  # frames by which observations are tried against actions
AGAIN = "record it again; what is left of it teaches a jump that never was"


def files(data: Data) -> Iterator[Finding]:
    """Frames and pictures that cannot be read, or of which some are missing."""
    for damage in data.opened.damage:
        kind = "lost" if damage.lost else "incomplete"
        advice = "restore the file from a copy, or leave the episode out with 'rlaas demos clean'"
        yield Finding("files", Severity.BAD, damage.episode, None, f"{kind}: {damage.text}", advice)


def timestamps(data: Data) -> Iterator[Finding]:
    """Stamps that go back, repeat, leave a gap that is not marked as late, or do not begin at zero."""
    period_s = data.spec.period_s
    for index, episode in data.opened.episodes.items():
        stamp_s, step = episode.stamp_s, np.diff(episode.stamp_s)
        if not np.isfinite(stamp_s).all():
            yield _stamps(index, None, "stamps are missing")
            continue
        if abs(stamp_s[0]) > period_s / 2:
            yield _stamps(index, None, f"the first frame is stamped {stamp_s[0]:.3f} s instead of 0")
        back = np.flatnonzero(step <= 0.0)
        gap = np.flatnonzero((step > 1.5 * period_s) & ~episode.late[1:])
        if len(back):
            text = f"{counted(len(back), 'stamp')} not later than the one before, by up to {-step[back].min():.3f} s"
            yield _stamps(index, (int(back[0]), int(back[-1]) + 1), text)
        if len(gap):
            missing = round(float(step[gap].sum() / period_s)) - len(gap)
            text = f"a gap of up to {step[gap].max():.3f} s ({counted(missing, 'frame')} missing), not marked as late"
            yield _stamps(index, (int(gap[0]), int(gap[-1]) + 1), text)


def _stamps(index: int, frames: tuple[int, int] | None, text: str) -> Finding:
    return Finding("timestamps", Severity.BAD, index, frames, text, AGAIN)


def late(data: Data) -> Iterator[Finding]:
    """Frames that came late and are marked so."""
    for index, episode in data.episodes.items():
        if episode.late.any():
            where = np.flatnonzero(episode.late)
            text = f"{counted(len(where), 'frame')} of {len(episode.late)} came more than half a period late"
            span = int(where[0]), int(where[-1])
            yield Finding("late", Severity.NOTE, index, span, text, "look at what slowed the recording computer down")


def dropped(data: Data) -> Iterator[Finding]:
    """Frames that are missing or stand twice: the clock in the observation counts every period."""
    column = data.axis("clock", "elapsed")
    if column is None:
        return
    for index in data.episodes:
        step = np.diff(data.named(index)["clock"][:, column]) * data.spec.horizon
        odd = np.flatnonzero(np.abs(step - 1.0) > 0.5)
        if len(odd):
            missing = round(float((step[odd] - 1.0).sum()))
            if missing > 0:
                what = f"{counted(missing, 'frame')} missing"
            elif missing < 0:
                what = f"{counted(-missing, 'frame')} too many"
            else:
                what = "frames out of their order"
            text = f"{what} after frame {odd[0]}: the clock that is observed does not go on by one period"
            yield Finding("dropped", Severity.BAD, index, (int(odd[0]), int(odd[-1]) + 1), text, AGAIN)


def history(data: Data) -> Iterator[Finding]:
    """Observations that do not follow upon the actions: each one says which action was taken before it."""
    if not data.has("last_action"):
        return
    for index, episode in data.episodes.items():
        seen, done = data.named(index)["last_action"], np.clip(episode.executed.astype(float), -1.0, 1.0)
        wrong = np.abs(seen[1:] - done[:-1]).max(axis=1) > SAME
        if wrong.any():
            where, shift = np.flatnonzero(wrong), _shift(seen, done)
            span = None if shift else (int(where[0]), int(where[-1]) + 1)
            text = f"{counted(len(where), 'observation')} of {len(seen)} tell of another action than the one before"
            text = f"observations and actions are {counted(abs(shift), 'frame')} apart" if shift else text
            yield Finding("history", Severity.BAD, index, span, text, _why(shift))


def _why(shift: int) -> str:
    cause = "a clock that is off" if shift else "dropped or exchanged frames, or actions that were changed afterwards"
    return f"look for {cause} in what recorded it, and record it again"


def _shift(seen: np.ndarray, done: np.ndarray) -> int:
    """By how many frames all observations are late against the actions, or early; 0 where no shift explains them."""
    for shift in sorted((k for k in range(-MOST_SHIFT, MOST_SHIFT + 1) if k), key=abs):
        begin, end = max(0, 1 - shift), min(len(seen), len(done) + 1 - shift)
        if end - begin < len(seen) // 2:
            continue
        agree = np.abs(seen[begin:end] - done[begin - 1 + shift : end - 1 + shift]).max(axis=1) < SAME
        if agree.mean() > 0.9 and np.ptp(done, axis=0).max() > 0.0:
            return shift
    return 0
