"""New datasets made of old ones: parts of them, several of them, with other labels. The old ones stay as they are."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.diff import differences
from robot_rlaas.cell.errors import InputError, did_you_mean
from robot_rlaas.data.episode import Episode
from robot_rlaas.data.lerobot import write_dataset
from robot_rlaas.data.lineage import Made, parent_of
from robot_rlaas.data.opened import Opened, pictures
from robot_rlaas.data.quality.findings import Finding, Severity
from robot_rlaas.data.quality.replay import Again
from robot_rlaas.data.quality.rules import MENDED, RULES

MOST_DIFFERENCES = 4


class Kept(NamedTuple):
    """An episode of a dataset that goes into another.

    Attributes:
        opened: the dataset.
        episode: its index in it.
        frames: how many of its first ones; None for all.
        success: another outcome than the one that it says; None for that.
        anew: what takes its place; None for itself.
    """

    opened: Opened
    episode: int
    frames: int | None = None
    success: bool | None = None
    anew: Episode | None = None


def write(
    out: Path,
    kept: Sequence[Kept],
    by: str,
    settings: dict[str, Any],
    left_out: Iterable[str],
    on_episode: Callable[[], None],
) -> None:
    """Write a dataset of these episodes, with their datasets as its parents. Pictures are encoded once more.

    Args:
        out: its directory, which is not there yet.
        kept: in the order in which they are stored; of datasets that `same_kind` has let pass.
        by: the command.
        settings: what it was told.
        left_out: a line per episode of a parent that is not in it as it was.
        on_episode: called as each one is stored.

    Raises:
        InputError: if nothing is kept, or `out` is there.
    """
    parents = {str(one.opened.path.resolve()): one.opened for one in kept}
    if not kept:
        raise InputError("no episode would be left", fix="take fewer rules, or other ones with --rule")
    fresh(out)
    first = kept[0].opened
    made = Made(
        by=by,
        settings=settings,
        parents=tuple(parent_of(o.path, o.lineage) for o in parents.values()),
        left_out=tuple(left_out),
    )
    lineage = first.lineage.model_copy(update={"episodes": (), "made": made})
    write_dataset(out, lineage, _episodes(kept), on_episode, first.cameras)


def fresh(out: Path) -> None:
    """Raises InputError if it is there: what is made of a dataset takes nothing's place."""
    if out.exists():
        raise InputError("it is there already", file=out, fix="name another --out, or move it away")


def _episodes(kept: Sequence[Kept]) -> Iterator[Episode]:
    for one in kept:
        episode = one.anew or one.opened.episodes[one.episode]
        seen = {v.camera: pictures(v, len(episode.action)) for v in one.opened.videos.get(one.episode, ())}
        success = episode.success if one.success is None else one.success
        whole = episode._replace(pictures=seen, success=success)
        yield whole if one.frames is None else whole.take(slice(0, one.frames))


def clean(
    opened: Opened, findings: Iterable[Finding], rules: Sequence[str], again: Mapping[int, Again] = MappingProxyType({})
) -> tuple[list[Kept], list[str]]:
    """What is kept of a dataset, and a line with the reasons for each episode that is left out, cut or mended.

    Args:
        findings: of its inspection.
        rules: names of findings: an episode that has one of them is left out; frames that nothing should learn from
            are cut off.
        again: episodes as they went when they were simulated again; these take the place of what would be left out,
            if they succeed and nothing is wrong with the episodes that this does not put right.

    Raises:
        InputError: if there is no such rule.
    """
    check_rules(rules)
    cause: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.episode is not None and finding.check in rules:
            cause.setdefault(finding.episode, []).append(finding)
    kept, lines = [], []
    for index in range(len(opened.lineage.episodes)):
        found = cause.get(index, [])
        cuts = [f.frames[0] for f in found if f.severity is Severity.TRIM and f.frames]
        reasons = "; ".join(f"{f.check}: {f.text}" for f in found)
        anew = _mended(opened, index, found, again)
        if anew is not None:
            kept.append(Kept(opened, index, anew=anew))
            lines.append(f"episode {index} simulated again ({reasons})")
        elif len(cuts) < len(found):
            lines.append(f"episode {index} left out ({reasons})")
        elif index not in opened.episodes:
            lines.append(f"episode {index} left out (it cannot be read)")
        else:
            kept.append(Kept(opened, index, min(cuts) if cuts else None))
            lines += [f"episode {index} cut to its first {min(cuts)} frames ({reasons})"] if cuts else []
    return kept, lines


def _mended(opened: Opened, index: int, found: list[Finding], again: Mapping[int, Again]) -> Episode | None:
    """The episode as it went this time, where that is worth having and the recorded one is not."""
    run, checks = again.get(index), {f.check for f in found if f.severity is not Severity.TRIM}
    if run is None or not run.success or not checks or not checks <= set(MENDED) or index in opened.videos:
        return None
    was = opened.episodes[index].take(slice(0, run.steps))
    if not np.isfinite(was.action).all():
        return None
    return was._replace(
        observation=run.observation[: run.steps],
        reward=run.reward[: run.steps],
        success=True,
        peak_force_N=run.peak_force_N,
        stamp_s=np.arange(len(was.action)) * opened.lineage.spec.period_s,
        late=np.zeros(len(was.action), dtype=bool),
    )


def check_rules(rules: Iterable[str]) -> None:
    """Raises InputError for a rule that there is not."""
    for rule in rules:
        if rule not in RULES:
            fix = did_you_mean(rule, RULES) or f"take some of {', '.join(RULES)}"
            raise InputError(f"there is no rule '{rule}'", fix=fix)


def same_kind(datasets: Sequence[Opened]) -> None:
    """Raises InputError if they do not belong into one dataset, with what differs."""
    first = datasets[0]
    for other in datasets[1:]:
        if other.lineage.cell_hash != first.lineage.cell_hash:
            found = differences(first.lineage.spec, other.lineage.spec)
            told = "; ".join(f"{d.key}: {d.one} here, {d.other} there" for d in found[:MOST_DIFFERENCES])
            message = f"it was recorded in another cell than {first.path} ({told or 'of another version'})"
            raise InputError(
                message, file=other.path, fix="merge datasets of one cell; record or generate the other again"
            )
        if other.contract.hash != first.contract.hash:
            message = f"its contract is another than that of {first.path}: the vectors mean other things"
            raise InputError(message, file=other.path, fix="record or generate the older one again")
        if (other.cameras, other.lineage.start_axes) != (first.cameras, first.lineage.start_axes):
            had, has = (
                f"cameras {o.cameras or 'none'}, starts {'' if o.lineage.start_axes else 'un'}known"
                for o in (first, other)
            )
            message = f"it has {has}, and {first.path} has {had}"
            raise InputError(message, file=other.path, fix="merge datasets that were recorded alike")


def whole(opened: Opened) -> list[Kept]:
    """All episodes of a dataset.

    Raises:
        InputError: if one cannot be read.
    """
    lost = [d for d in opened.damage]
    if lost:
        message = f"episode {lost[0].episode}: {lost[0].text}"
        raise InputError(message, file=opened.path, fix="take what is whole with 'rlaas demos clean'")
    return [Kept(opened, index) for index in sorted(opened.episodes)]


def relabel(opened: Opened, episodes: Sequence[int], success: bool, because: str) -> tuple[list[Kept], list[str]]:
    """The dataset with another outcome for these episodes, and a line for each.

    Raises:
        InputError: if there is no such episode.
    """
    kept = whole(opened)
    for index in episodes:
        if not 0 <= index < len(kept):
            raise InputError(f"there is no episode {index}", file=opened.path, fix=f"name one of 0 to {len(kept) - 1}")
        kept[index] = kept[index]._replace(success=success)
    word = "a success" if success else "a failure"
    return kept, [f"episode {index} relabelled {word}: {because}" for index in episodes]


def split(opened: Opened, share: float, seed: int) -> tuple[list[Kept], list[Kept]]:
    """Two parts, by whole episodes; successes and failures in equal shares. Each part has at least one episode.

    Args:
        share: of the first part.
        seed: of the choice.

    Raises:
        InputError: if there are fewer than two episodes.
    """
    kept = whole(opened)
    if len(kept) < 2:
        raise InputError(f"{len(kept)} episode cannot be split", file=opened.path, fix="record more")
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for success in (True, False):
        group = [one.episode for one in kept if opened.episodes[one.episode].success == success]
        chosen += rng.permutation(group)[: round(share * len(group))].tolist()
    chosen = chosen[: len(kept) - 1] or [int(rng.integers(len(kept)))]
    return [kept[i] for i in sorted(chosen)], [one for one in kept if one.episode not in chosen]
