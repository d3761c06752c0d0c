"""Verdicts and bounds for a run that is looked at after every batch, may be stopped at any look, and has an end.

Each requirement is a claim "an episode is good with probability p >= limit". Its test is group-sequential: at each look
the claim is proved if at most so many episodes missed, and those numbers are chosen such that a policy with p = limit
is proved better at any look up to n of at most `end` episodes with probability at most

    alpha (n / end)^POWER

(spending: Lan and DeMets, Biometrika 70, 1983; the power of n / end: Kim and DeMets, Biometrika 74, 1987). Episodes are
good or bad, so that probability is computed exactly, look by look, by convolution. What whole numbers leave unspent is
spent later. With p < limit a wrong proof is rarer still. The evidence that p < limit is the same with good and bad
exchanged.

A bound is the limit that the test just rejects (repeated confidence intervals: Jennison and Turnbull, Journal of the
Royal Statistical Society B 51, 1989). It is one of a grid of limits through the claim's own, `SPACING` standard errors
of the whole run apart, rounded outwards. Because episodes are whole, a test may reject a limit but not one just below
it. So a limit counts as rejected only together with its `WINDOW` lower neighbours; farther apart that does not happen
(tested for up to 4,000 episodes). Then rejected limits lie below all others, and a lower bound exceeds p
only if the first limit of the grid from p on is rejected: with probability alpha at most, over all looks.
"""

from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from scipy import stats

from robot_rlaas.qualify.statistics import Estimate, Verdict

Looks = tuple[int, ...]

POWER = 3 / 8  # 1/2 saves 2 to 6 % more at 2 to 4 standard errors and proves flawless policies 50 episodes later
SPACING, WINDOW = 0.25, 12
NEVER = 1e-15  # probability of so many misses by a look that they are left out
LAST = 0.15  # of alpha is about what the last of some dozens of looks tests at
REACH = 100_000


def looks_of(end: int, batch: int) -> Looks:
    """After how many episodes to look: after every batch, and at the end."""
    return (*range(batch, end, batch), end)


@lru_cache(maxsize=1024)
def boundary(limit: float, looks: Looks, alpha: float, step: int = 0) -> np.ndarray:
    """How many episodes may miss at each look for the others to prove more than a limit: (looks,), -1 for never.

    Args:
        limit: in (0, 1).
        looks: numbers of episodes, rising; the last is the end.
        alpha: how likely any wrong proof may be.
        step: which limit of the grid through `limit` is meant.
    """
    window = range(step - WINDOW, step + 1)
    return np.min([_spending(_neighbour(limit, looks, i), looks, alpha) for i in window], axis=0)


def _neighbour(limit: float, looks: Looks, step: int) -> float:
    """Equal steps of arcsin sqrt(limit) are equal parts of a standard error."""
    angle = 2.0 * np.arcsin(np.sqrt(limit)) + step * SPACING / np.sqrt(looks[-1])
    return limit if step == 0 else float(np.sin(np.clip(angle, 0.0, np.pi) / 2.0) ** 2)


@lru_cache(maxsize=4096)
def _spending(limit: float, looks: Looks, alpha: float) -> np.ndarray:
    """The `boundary` of one limit, regardless of its neighbours."""
    n = np.array(looks)
    batches, budget = np.diff(n, prepend=0), alpha * (n / n[-1]) ** POWER
    misses = {size: stats.binom.pmf(np.arange(size + 1), size, 1.0 - limit) for size in set(batches.tolist())}
    going_on, fewest, spent = np.ones(1), 0, 0.0  # probabilities of `fewest` misses and more, without a proof so far
    allowed = np.empty(len(n), int)
    for i, size in enumerate(batches.tolist()):
        going_on = np.convolve(going_on, misses[size])
        going_on = going_on[: len(going_on) - np.searchsorted(np.cumsum(going_on[::-1]), NEVER)]
        proved = np.cumsum(going_on)
        number = int(np.searchsorted(proved, budget[i] - spent, side="right"))
        if number:
            going_on, fewest, spent = going_on[number:], fewest + number, spent + proved[number - 1]
        allowed[i] = fewest - 1
    return allowed


def proportion(hit: np.ndarray, limit: float, looks: Looks, alpha: float = 0.05) -> Estimate:
    """A rate with bounds that hold at every look at once, each with probability 1 - alpha.

    `lower >= limit` exactly when the claim "more than `limit`" has been proved at some look, and `upper <= limit`
    exactly when the opposite has.

    Args:
        hit: (n,) bool, in order.
        limit: that it is compared with, in (0, 1).
        looks: as in `boundary`.
        alpha: of each side alone.
    """
    lower, upper = _lower(hit, limit, looks, alpha), 1.0 - _lower(~hit, round(1.0 - limit, 12), looks, alpha)
    return Estimate(float(hit.mean()), lower, round(upper, 12))


def _lower(hit: np.ndarray, limit: float, looks: Looks, alpha: float) -> float:
    missed = _at_looks(~hit, looks)

    def open_at(step: int) -> bool:
        return not (missed <= boundary(limit, looks, alpha, step)[: len(missed)]).any()

    farthest = int(np.pi * np.sqrt(looks[-1]) / SPACING) + 1
    steps = range(-farthest, 1) if open_at(0) else range(1, farthest)
    return _neighbour(limit, looks, steps[0] + bisect_left(steps, True, key=open_at) - 1)


def _at_looks(flags: np.ndarray, looks: Looks) -> np.ndarray:
    """How many of the flags are set by each look that has been reached, (reached, ...)."""
    reached = [n for n in looks if n <= len(flags)]
    return np.cumsum(flags, axis=0)[np.array(reached, int) - 1]


def quantile(values: np.ndarray, q: float, looks: Looks, alpha: float = 0.05) -> Estimate:
    """A quantile with distribution-free bounds that hold at every look at once.

    `upper <= limit` exactly when, at some look, the values within `limit` have proved that more than q of all are, and
    `lower > limit` exactly when they have proved that fewer are. Without a bound it is infinite.

    Args:
        values: (n,), in order; may hold inf, and NaN for what is beyond any limit.
        q: in (0, 1).
        looks: as in `boundary`.
        alpha: of each side alone.
    """
    beyond, within = boundary(q, looks, alpha), boundary(round(1.0 - q, 12), looks, alpha)
    values, upper, lower = np.where(np.isnan(values), np.inf, values), np.inf, -np.inf
    for n, most_beyond, most_within in zip(looks, beyond, within):
        if n <= len(values):
            ordered = np.sort(values[:n])
            upper = min(upper, ordered[n - 1 - most_beyond]) if most_beyond >= 0 else upper
            lower = max(lower, ordered[most_within]) if most_within >= 0 else lower
    return Estimate(float(np.sort(values)[int(np.ceil(q * len(values))) - 1]), float(lower), float(upper))


class Sequential:
    """Verdicts on several claims about the same episodes, to be looked at as often as `looks` says.

    With probability 1 - alpha no claim that is untrue ever gets PASS, and with 1 - alpha none that is true gets FAIL,
    whenever one stops. Episodes must be independent; claims need not be. Either family is a closed test. A set of j
    claims is refuted as a whole once one of them, at any look so far, was proved at level alpha / j; if all of the set
    are untrue, that ever happens with probability at most j alpha / j, whatever their dependence. A claim gets its
    verdict once every set that holds it is refuted. For a claim to get it wrongly, the set of all untrue claims must be
    refuted wrongly, and that is one set. So the first of four is judged at alpha / 4 and the next, also by what it
    showed before, at alpha / 3: Holm's step-down, in group-sequential form (Maurer and Bretz, Statistics in
    Biopharmaceutical Research 5, 2013; Ye, Li, Liu and Yao, Statistics in Medicine 32, 2013).
    """

    def __init__(self, limits: Mapping[str, float], looks: Looks, alpha: float = 0.05) -> None:
        """Begin without episodes.

        Args:
            limits: of each claim "good with probability >= limit", by name.
            looks: as in `boundary`.
            alpha: how likely any wrong verdict of one kind may be.
        """
        self.verdicts = dict.fromkeys(limits, Verdict.UNDECIDED)
        self.good, self.total = np.zeros(len(limits), int), 0
        self._limits, self._looks, self._alpha = np.array(list(limits.values())), looks, alpha
        self._sets = _subsets(len(limits))
        sides = [[round(1.0 - limit, 12) if side else limit for limit in limits.values()] for side in (0, 1)]
        levels = [alpha / (j + 1) for j in range(len(limits))]
        self._allowed = np.array([[[boundary(x, looks, a) for x in side] for a in levels] for side in sides])
        self._proved = np.zeros((2, len(limits), len(limits)), bool)  # of PASS and FAIL, at alpha / 1, / 2 ...: claims
        self._look = 0

    def update(self, good: np.ndarray) -> dict[str, Verdict]:
        """Look once more. A verdict once reached stays.

        Args:
            good: (new, claims) whether each episode since the last look was good, claims in the order of `limits`. They
                come in the order of their numbers: leaving out one that takes long would favour the quick.

        Raises:
            ValueError: if they do not lead to the next look.
        """
        self.total += len(good)
        if self.total not in self._looks[self._look : self._look + 1]:
            raise ValueError(f"{self.total} episodes: the looks were planned at {self._looks}")
        self.good += good.sum(axis=0)
        missed = np.stack([self.total - self.good, self.good])[:, None]
        self._proved |= missed <= self._allowed[..., self._look]
        self._look += 1
        for name, passed, failed in zip(self.verdicts, *self._judged()):
            if self.verdicts[name] == Verdict.UNDECIDED and (passed or failed):
                self.verdicts[name] = Verdict.PASS if passed else Verdict.FAIL
        return dict(self.verdicts)

    def _judged(self) -> np.ndarray:
        """Which claims are in no set that is not refuted: for PASS and for FAIL, (2, claims)."""
        at_level = self._proved[:, self._sets.sum(axis=1) - 1]
        refuted = np.any(at_level & self._sets, axis=-1, keepdims=True)
        return np.all(refuted | ~self._sets, axis=-2)

    def more_needed(self) -> dict[str, int | None]:
        """How many episodes more a plan would need to decide each undecided claim, if good ones stay as frequent.

        None where `REACH` would not do: the rate seen lies on the limit. About so many: chance spreads it far wider.
        """
        undecided = [name for name, verdict in self.verdicts.items() if verdict == Verdict.UNDECIDED]
        if not self.total:
            return dict.fromkeys(undecided)
        more = np.unique(np.geomspace(1, REACH, 400).astype(int))
        n, level = self.total + more, LAST * self._alpha / max(1, len(undecided))
        found: dict[str, int | None] = {}
        for name, good, limit in zip(self.verdicts, self.good, self._limits):
            if name in undecided:
                good = np.floor(n * good / self.total)
                enough = stats.binom.sf(good - 1, n, limit) <= level
                too_few = stats.binom.cdf(good, n, limit) <= level
                decided = enough | too_few
                found[name] = int(more[decided.argmax()]) if decided.any() else None
        return found


def _subsets(n: int) -> np.ndarray:
    """All non-empty sets of n, as members (2^n - 1, n)."""
    return (np.arange(1, 2**n)[:, None] >> np.arange(n)) % 2 == 1
