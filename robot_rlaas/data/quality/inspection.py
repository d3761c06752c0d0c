"""All that is looked for in a dataset, and what was found."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.data.quality import cameras, kinematics, likeness, motion, outcomes, sensors, timing
from robot_rlaas.data.quality.coverage import Candidates, coverage
from robot_rlaas.data.quality.findings import Check, Data, Finding, Severity
from robot_rlaas.data.quality.replay import Again, compare

CHECKS: tuple[Check, ...] = (
    timing.files,
    sensors.not_finite,
    timing.timestamps,
    timing.dropped,
    timing.history,
    timing.late,
    sensors.frozen,
    sensors.limits,
    sensors.contact,
    kinematics.kinematics,
    motion.idle,
    motion.clipped,
    motion.jerk,
    motion.lengths,
    outcomes.label,
    outcomes.failed,
    likeness.duplicates,
    likeness.alike,
    likeness.disagreement,
    cameras.cameras,
)
ORDER = (Severity.BAD, Severity.TRIM, Severity.NOTE)


class Inspection(NamedTuple):
    """What was found.

    Attributes:
        findings: the worst first, then by episode.
        content: what inspection.json holds.
    """

    findings: tuple[Finding, ...]
    content: dict[str, Any]

    @property
    def clean(self) -> bool:
        """Whether there is nothing that should not be learned from."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)


def inspect(
    data: Data,
    again: dict[int, Again],
    candidates: Candidates | None = None,
    on_check: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Inspection:
    """Look for everything.

    Args:
        data: the dataset.
        again: its episodes simulated again, those that can be.
        candidates: starts that could be recorded next.
        on_check: hears of the name of each check that begins, its number, and how many there are.
    """
    findings = []
    for number, check in enumerate(CHECKS):
        on_check(check.__name__, number, len(CHECKS))
        findings += check(data)
    findings += compare(data, again)
    findings.sort(key=lambda f: (ORDER.index(f.severity), f.episode is None, f.episode or 0))
    return Inspection(tuple(findings), _content(data, findings, again, candidates))


def episodes_with(findings: Iterable[Finding], *severities: Severity) -> set[int]:
    """Episodes that have a finding of these severities."""
    return {f.episode for f in findings if f.episode is not None and f.severity in severities}


def _content(
    data: Data, findings: list[Finding], again: dict[int, Again], candidates: Candidates | None
) -> dict[str, Any]:
    opened, bad = data.opened, episodes_with(findings, Severity.BAD)
    attempts = opened.lineage.episodes
    return {
        "rlaas_inspection": 1,
        "dataset": opened.path.name,
        "cell": data.spec.name,
        "cell_hash": opened.lineage.cell_hash,
        "made": opened.lineage.made.model_dump(mode="json"),
        "rate_hz": opened.contract.rate_hz,
        "counts": {
            "episodes": len(attempts),
            "readable": len(opened.episodes),
            "successes": sum(a.success for a in attempts),
            "frames": sum(a.steps for a in attempts),
            "bad": len(bad),
            "trim": len(episodes_with(findings, Severity.TRIM) - bad),
            "replayed": len(again),
            "cameras": list(opened.cameras),
        },
        "findings": [finding.to_json() for finding in findings],
        "episodes": [_episode(data, i, bad) for i in range(len(attempts))],
        "coverage": coverage(data, candidates, sorted(bad)),
    }


def _episode(data: Data, index: int, bad: set[int]) -> dict[str, Any]:
    attempt, episode = data.opened.lineage.episodes[index], data.opened.episodes.get(index)
    action = episode.action[np.isfinite(episode.action).all(axis=1)] if episode else np.zeros((0, 1))
    return {
        "episode": index,
        "number": attempt.number,
        "operator": attempt.operator,
        "success": attempt.success,
        "steps": attempt.steps,
        "seconds": attempt.steps / data.opened.contract.rate_hz,
        "peak_force_N": attempt.peak_force_N if np.isfinite(attempt.peak_force_N) else None,
        "good": index not in bad,
        "late": int(episode.late.sum()) if episode else 0,
        "corrected": int(episode.corrected.sum()) if episode else 0,
        "idle": float((np.abs(action[:, :4]) < motion.IDLE).all(axis=1).mean()) if len(action) else None,
        "jerk": motion.shake(action) if len(action) > 2 else None,
        "at_bound": float((np.abs(action[:, :4]) >= 1.0).any(axis=1).mean()) if len(action) else None,
    }
