"""What report.json holds. `python -m robot_rlaas.qualify.schema` prints it as JSON Schema."""

import json
from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict


class PolicyEntry(TypedDict):
    """Which policy was judged."""

    name: str
    sha256: str
    kind: str


class PlanEntry(TypedDict):
    """How many episodes: exactly that many, or at most where it is sequential, with a look after every batch.

    A sequential test is made for its end, `episodes`: what it left open may be judged anew by a longer plan with
    another seed, not by going on.

    `held_out` and `sensitivity` are episodes per setting, 0 for none.
    """

    episodes: int
    sequential: bool
    held_out: int
    sensitivity: int
    batch: int
    alpha: float


class FreshEntry(TypedDict):
    """Whether the policy can have met the episodes."""

    proved: bool
    statements: list[str]
    objections: list[str]


class Proportion(TypedDict):
    """A rate with exact one-sided bounds, each with 95 % confidence; of a sequential plan's success, at every look."""

    count: int
    rate: float
    lower_95: float
    upper_95: float


class Requirement(TypedDict):
    """A requirement, what was found, and the verdict; null where a bound or value is infinite.

    Verdicts bound the probability of any wrong PASS over all requirements, and of any wrong FAIL, by the
    bounds hold one at a time. `more_needed`: about how many episodes more a plan would need.
    """

    name: str
    text: str
    limit: float
    value: float | None
    lower_95: float | None
    upper_95: float | None
    verdict: Literal["PASS", "FAIL", "UNDECIDED"]
    more_needed: int | None
    unit: str


class CostEntry(TypedDict):
    """What it cost; `simulated_s` is robot time in all episodes, those beyond the ranges included."""

    wall_s: float
    core_s: float
    simulated_s: float


class SpreadEntry(TypedDict):
    """A figure over the episodes of a cluster that have it."""

    episodes: int
    median: float
    lowest: float
    highest: float


class FailureEntry(TypedDict):
    """A cluster of failures; `medoid` is the most typical of its episodes."""

    name: str
    kind: str
    count: int
    episodes: list[int]
    medoid: int
    text: str
    contrasts: list[dict[str, Any]]
    history: dict[str, SpreadEntry | None]


class Gap(TypedDict):
    """Nominal success rate minus the held-out one, with Newcombe's one-sided bounds.

    They are simultaneous (Bonferroni): the lower bounds of all gaps of a report hold together with 95 % confidence, and
    so do the upper ones.
    """

    value: float
    lower_95: float
    upper_95: float


class HeldOutEntry(TypedDict):
    """Success beyond the training ranges of a factor; `beyond` is the inner range that was left out."""

    factor: str
    range: tuple[float, float] | None
    beyond: tuple[float, float] | None
    shape: dict[str, float]
    episodes: int
    success: Proportion
    peak_force_N: float | None
    gap: Gap
    simulated_s: float


class Point(TypedDict):
    """Success with a factor at the edge of a range `reach` times as wide as the cell's.

    It was drawn from close to both edges of `range`; or, where the lower one would make no sense, from all of `range`,
    which then lies at the upper edge alone.
    """

    reach: float
    range: tuple[float, float]
    edges: Literal["both", "upper"]
    success: Proportion


class Break(TypedDict):
    """The factor that breaks the policy at the least reach."""

    factor: str
    reach: float


class Sensitivity(TypedDict):
    """Success against reach, by factor.

    A factor breaks the policy at the first reach where the upper bound is less than `broken_below` of the nominal rate;
    `breaks_at` is null where none is.
    """

    episodes: int
    broken_below: float
    curves: dict[str, list[Point]]
    breaks_at: dict[str, float | None]
    breaks_first: Break | None
    simulated_s: float


class Report(TypedDict):
    """A qualification, or a trial where the episodes' freshness is not proved and nothing passes.

    `held_out_beyond`: whether `held_out` lies beyond the ranges that the policy says it was trained on, or beyond the
    cell's because it does not say. `simulator`: "cpu", or MuJoCo Warp on one of its devices, such as "warp:cuda"; null
    where attempts on an arm were judged. Reports without it are older, and of "cpu" or an arm.
    """

    format: Literal[4]
    kind: Literal["qualification", "trial"]
    cell: str
    cell_hash: str
    policy: PolicyEntry
    seed: int
    space: str
    key: list[int]
    simulator: NotRequired[str | None]
    versions: dict[str, str]
    plan: PlanEntry
    fresh: FreshEntry
    episodes: int
    success: Proportion
    requirements: list[Requirement]
    cost: CostEntry
    failures: list[FailureEntry]
    held_out_beyond: Literal["policy", "cell"]
    held_out: list[HeldOutEntry] | None
    sensitivity: Sensitivity | None
    per_episode: dict[str, list[Any]]


def json_schema() -> dict[str, Any]:
    """JSON Schema of report.json."""
    return TypeAdapter(Report).json_schema()


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
