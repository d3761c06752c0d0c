"""Bounds and verdicts that hold at every look: episodes may be added until the figures suffice, or stopped at any time.

Each requirement is a claim "an episode is good with probability p >= limit". The evidence that p > limit after n
episodes of which s were good is an e-process, a mixture of exponential supermartingales over tilts d > 0:

    e(limit) = sum_d w_d exp(d s) / (1 - limit + limit exp(d))^n.

A factor's mean is (1 - p + p exp(d)) / (1 - limit + limit exp(d)), at most 1 exactly where p <= limit. So with
p <= limit, e ever reaches 1 / alpha with probability at most alpha (Ville 1939; Ramdas, Grünwald, Vovk and Shafer,
Statistical Science 38, 2023). Each summand is the likelihood ratio of the rate whose odds are exp(d) times those of
the limit. It falls as `limit` rises, so e = 1 / alpha has one solution: the lower bound of p. The evidence that
p < limit is the same with good and bad exchanged.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import root_scalar

from robot_rlaas.qualify.statistics import Estimate, Verdict

# Odds ratios from e^(1/32) to e^4, and infinity: the rate 1. Weighed by mean numbers of episodes for limits 0.99 and
# 0.95: a quarter for the policy without a bad episode, most for rates that some thousand episodes can tell from the
# limit, a little for those close to it.
TILTS = 2.0 ** np.arange(2, -6, -1)
WEIGHTS = np.array([4, 12, 16, 8, 4, 2, 1, 1]) / 64
WEIGHT_PERFECT = 16 / 64

REACH = 100_000
TINY = np.finfo(float).tiny


def log_e(good: ArrayLike, total: ArrayLike, limit: ArrayLike) -> np.ndarray:
    """The logarithm of the evidence that good episodes are more frequent than `limit`; arguments broadcast.

    Args:
        good: number of good episodes.
        total: number of episodes.
        limit: in [0, 1]. Evidence for less than `limit` is log_e(total - good, total, 1 - limit).
    """
    good, total, limit = np.broadcast_arrays(good, total, limit)
    tilted = good[..., None] * TILTS - total[..., None] * np.log1p(limit[..., None] * np.expm1(TILTS))
    perfect = np.where(good == total, -total * np.log(np.maximum(limit, TINY)), -np.inf)
    return np.logaddexp(
        np.logaddexp.reduce(tilted + np.log(WEIGHTS), axis=-1),
        perfect + np.log(WEIGHT_PERFECT),
    )


def proportion(count: int, total: int, confidence: float = 0.95) -> Estimate:
    """A rate with bounds that hold at every look at once: those of all looks with probability `confidence` on a side.

    Args:
        count: how often it happened.
        total: how often it could have, at least 1.
        confidence: of each side alone.
    """
    level = -np.log1p(-confidence)
    return Estimate(count / total, _lower(count, total, level), 1.0 - _lower(total - count, total, level))


def _lower(count: int, total: int, level: float) -> float:
    def excess(limit: float) -> float:
        return float(log_e(count, total, limit)) - level

    return root_scalar(excess, bracket=(1e-12, count / total), xtol=1e-12).root if excess(1e-12) > 0 else 0.0


def quantile(values: np.ndarray, q: float, confidence: float = 0.95) -> Estimate:
    """A quantile with distribution-free bounds that hold at every look at once.

    The k-th smallest of n values is an upper bound when k good episodes of n prove more than q to be good, and a lower
    bound when k - 1 prove less. So `upper <= limit` exactly when the values within `limit` prove that q of all are.
    Where n is too small for a bound, it is infinite.

    Args:
        values: (n,); may hold inf.
        q: in (0, 1).
        confidence: of each side alone.
    """
    ordered = np.sort(values)
    n = len(ordered)
    level, within = -np.log1p(-confidence), np.arange(n + 1)
    enough = np.flatnonzero(log_e(within, n, q) >= level)
    too_few = np.flatnonzero(log_e(n - within, n, 1.0 - q) >= level)
    upper = float(ordered[enough[0] - 1]) if len(enough) else float("inf")
    lower = float(ordered[too_few[-1]]) if len(too_few) else float("-inf")
    return Estimate(float(ordered[int(np.ceil(q * n)) - 1]), lower, upper)


class Sequential:
    """Verdicts on several claims about the same episodes, to be looked at as often as one likes.

    With probability 1 - alpha no claim that is untrue ever gets PASS, and with 1 - alpha none that is true gets FAIL,
    whenever one stops. Episodes must be independent; claims need not be. Either family is a closed test: a claim is
    proved once, for every set of claims that holds it, the mean evidence has reached 1 / alpha at some look (Vovk and
    Wang, Annals of Statistics 49, 2021). A mean is at least the maximum over the size of the set, so this decides all
    that Holm's step-down on the p-values 1 / max e decides, and no later. It keeps 2^claims numbers.
    """

    def __init__(self, limits: Mapping[str, float], alpha: float = 0.05) -> None:
        """Begin without episodes.

        Args:
            limits: of each claim "good with probability >= limit", by name.
            alpha: how likely any wrong verdict of one kind may be.
        """
        self.verdicts = dict.fromkeys(limits, Verdict.UNDECIDED)
        self.good = np.zeros(len(limits), int)
        self.total = 0
        self._limits = np.array(list(limits.values()))
        self._level = -np.log(alpha)
        self._sets = _subsets(len(limits))
        self._peak = np.full((2, len(self._sets)), -np.inf)

    def update(self, good: np.ndarray) -> dict[str, Verdict]:
        """Look once more. A verdict once reached stays.

        Args:
            good: (new, claims) whether each new episode was good, claims in the order of `limits`. New episodes come in
                the order of their numbers: leaving out one that takes long would favour the quick.
        """
        self.good += good.sum(axis=0)
        self.total += len(good)
        self._peak = np.maximum(self._peak, self._evidence(self.good, self.total))
        passes, fails = self._proved(self._peak)
        for i, (name, verdict) in enumerate(self.verdicts.items()):
            if verdict == Verdict.UNDECIDED and (passes[i] or fails[i]):
                self.verdicts[name] = Verdict.PASS if passes[i] else Verdict.FAIL
        return dict(self.verdicts)

    def more_needed(self) -> dict[str, int | None]:
        """How many more episodes would decide each undecided claim if good ones stay as frequent as they were.

        None where `REACH` would not do: the rate seen lies on the limit. In steps of 3 %; chance spreads it far wider.
        """
        if not self.total:
            return dict.fromkeys(self.verdicts)
        more = np.unique(np.geomspace(1, REACH, 400).astype(int))
        good = self.good + more[:, None] * (self.good / self.total)
        evidence = self._evidence(good, self.total + more[:, None])
        proved = self._proved(np.maximum(self._peak, np.maximum.accumulate(evidence)))
        decided = (proved[:, 0] | proved[:, 1]).T
        return {
            name: int(more[decided[i].argmax()]) if decided[i].any() else None
            for i, (name, verdict) in enumerate(self.verdicts.items())
            if verdict == Verdict.UNDECIDED
        }

    def _evidence(self, good: np.ndarray, total: ArrayLike) -> np.ndarray:
        """Log mean evidence (..., 2, sets) for PASS and for FAIL, from numbers of good episodes (..., claims)."""
        both = log_e(
            np.stack([good, total - good], axis=-2),
            np.asarray(total)[..., None],
            np.stack([self._limits, 1.0 - self._limits]),
        )
        members = np.where(self._sets, both[..., None, :], -np.inf)
        return np.logaddexp.reduce(members, axis=-1) - np.log(self._sets.sum(axis=-1))

    def _proved(self, peak: np.ndarray) -> np.ndarray:
        """Which claims (..., claims) are in no set whose evidence (..., sets) never reached the level."""
        return ((peak >= self._level)[..., None] | ~self._sets).all(axis=-2)


def _subsets(n: int) -> np.ndarray:
    """All non-empty sets of n, as members (2^n - 1, n)."""
    return (np.arange(1, 2**n)[:, None] >> np.arange(n)) % 2 == 1
