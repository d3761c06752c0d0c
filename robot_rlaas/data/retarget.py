"""A policy that does again what a few demonstrations did, where things are now.

After MimicGen (arXiv 2310.17596): a demonstration is cut into segments, each about one object; each is moved to where
that object is seen now, and driven in closed loop. Two things are different. On its way through free space the tool
does not first go in a straight line to where the segment began: the segment itself is stretched to begin where the
tool is, so that what was up, across and down remains so. And where the tool works on something, what happened at
another object at another time is no path to follow: it does what the demonstrator did at the most similar moment, and
answers to what differs as the demonstrator did.
"""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ACTION_AXES
from robot_rlaas.data.episode import Episode
from robot_rlaas.data.segments import Segments, segments_of

AXES = len(ACTION_AXES)
TRAVEL_GAINS = (
    1.0,
    0.7,
)  # on the way and on the lead: not all of the lead is taken back, what is left overcomes friction
WORK_GAINS = 0.5, 1.0  # where nothing is known better: half-heartedly to the same place, pushing as hard
MOST_GAIN = 1.2
SIMILAR, SAME = 3, 0.03  # so many moments of others are compared; so small a difference, in steps, is none
ENOUGH = 20  # moments to tell gains from
FINE = 6.0  # at work, poses are told apart so many times better than on the way
AHEAD, PATIENCE, HASTE = 3, 3, 0.05  # frames: looked ahead at once, stayed at; what it costs to run late or early
BEGINNING, SHUT = 300.0, 1e6  # steps squared that it costs to begin in the middle; or where a door is not as it is now


class Sources(NamedTuple):
    """All frames of the demonstrations, one after the other.

    Attributes:
        pose: (F, 4) of the tool, relative to what its segment is about, m and rad.
        lead: (F, 4) of its reference, m and rad.
        action: (F, action_size).
        cues: (F, cues).
        segment: (F,).
        begins: (F,) bool: first of its segment, and
        end: (F,) the last frame of it.
        episode: (F,) whose.
    """

    pose: np.ndarray
    lead: np.ndarray
    action: np.ndarray
    cues: np.ndarray
    segment: np.ndarray
    begins: np.ndarray
    end: np.ndarray
    episode: np.ndarray


def sources_of(episodes: list[Episode], segments: Segments, contract: Contract) -> Sources:
    """Cut the demonstrations into segments."""
    columns = [_cut(episode, i, segments, contract) for i, episode in enumerate(episodes)]
    sources = Sources(*(np.concatenate(column) for column in zip(*columns)))
    ends = np.append(np.flatnonzero(sources.begins[1:]), len(sources.begins) - 1)
    return sources._replace(end=ends[np.searchsorted(ends, np.arange(len(sources.begins)))])


def _cut(episode: Episode, number: int, segments: Segments, contract: Contract) -> Sources:
    seen, at = episode.observation, np.zeros(len(episode.action), int)
    for t in range(len(at)):
        at[t : t + 1] = segments.segment(at[max(t - 1, 0)][None], seen[t : t + 1], np.array([t == 0]))
    begins = np.append(True, np.diff(at) != 0)
    return Sources(
        pose=segments.pose(seen),
        lead=lead_of(seen, contract),
        action=episode.action.astype(float),
        cues=segments.cues(seen),
        segment=at,
        begins=begins,
        end=np.zeros_like(at),
        episode=np.full(len(at), number),
    )


def lead_of(observation: np.ndarray, contract: Contract) -> np.ndarray:
    """(n, 4) how far the reference is ahead of the tool, along x, y, z in m and about z in rad."""
    seen = contract.unpack(observation)
    return np.concatenate([seen["lead_position"], seen["lead_rotation"][:, 2:]], axis=1).astype(float)


def less(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Poses (..., 4) minus others, the turn taken the short way round."""
    difference = a - b
    difference[..., 3] = np.mod(difference[..., 3] + np.pi, 2 * np.pi) - np.pi
    return difference


def stretched(pose: np.ndarray, end: np.ndarray, way_m: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Poses (n, 4) of segments that begin elsewhere and end where they did.

    Args:
        pose: (n, 4) of the demonstrations.
        end: (n, 4) of their segments' ends.
        way_m: (n,) how far from there, level with the table, the tool was that now is somewhere else.
        offset: (n, 4) by how much.
    """
    left_m = np.linalg.norm((pose - end)[:, :2], axis=1)
    return pose + np.clip(left_m / np.maximum(way_m, 1e-9), 0.0, 1.0)[:, None] * offset


class Retarget:
    """The policy. It holds where in the demonstrations each row of the batch is.

    Args:
        cell: for its task and its control.
        contract: for the layout of the observation.
        count: rows of the batch.
        episodes: successful demonstrations.
    """

    def __init__(self, cell: CellSpec, contract: Contract, count: int, episodes: list[Episode]) -> None:
        self._segments, self._contract = segments_of(cell, contract), contract
        self._sources = sources_of(episodes, self._segments, contract)
        self._step = np.array([cell.control.step_mm / 1000] * 3 + [np.deg2rad(cell.control.step_deg)])
        kinds = range(len(self._segments.labels))
        self._pools = [np.flatnonzero(self._sources.segment == kind) for kind in kinds]
        self._push_m = np.array([self._hardest_m(pool) for pool in self._pools])
        gains = [self._gains(kind) for kind in kinds]
        self._on_way, self._on_lead = np.array([g[0] for g in gains]), np.array([g[1] for g in gains])
        self._at, self._kind, self._stayed = np.zeros(count, int), np.zeros(count, int), np.zeros(count, int)
        self._new, self._offset, self._way_m = np.ones(count, bool), np.zeros((count, AXES)), np.zeros(count)

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""
        self._new[ids] = True

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        sources, segments = self._sources, self._segments
        pose, cues = segments.pose(observation), segments.cues(observation)
        kind = segments.segment(self._kind, observation, self._new)
        entered = self._new | (kind != self._kind)
        self._kind, self._new = kind, np.zeros_like(self._new)
        ended = self._at == sources.end[self._at]
        self._go_on(pose)
        barred = self._barred(sources.cues[self._at], cues)
        rows = np.flatnonzero(entered | ended | barred | ~segments.travels[kind])
        self._enter(rows, pose[rows], cues[rows], entered[rows])
        return self._drive(pose, lead_of(observation, self._contract))

    def _hardest_m(self, pool: np.ndarray) -> float:
        """The longest lead that a demonstrator ever asked for in a segment."""
        chosen = pool if len(pool) else slice(None)
        asked = self._sources.lead[chosen, :3] + self._sources.action[chosen, :3] * self._step[:3]
        return float(np.linalg.norm(asked, axis=1).max())

    def _gains(self, kind: int) -> np.ndarray:
        """(2, 4) how a segment's demonstrator answers to another pose and to another lead, along each axis.

        On the way, a demonstrator's answers depend on where the way leads. At work they are read from moments of
        different episodes that are alike: what differs in the actions is explained by what differs in pose and lead. A
        hand that shakes differs for other reasons: what is found counts as far as it explains.
        """
        sources, pool = self._sources, self._pools[kind]
        gains = np.tile(np.array(TRAVEL_GAINS if self._segments.travels[kind] else WORK_GAINS)[:, None], AXES)
        if self._segments.travels[kind] or len(pool) < ENOUGH or len(np.unique(sources.episode[pool])) < 2:
            return gains
        away = self._away(kind, sources.pose[pool], sources.cues[pool])
        away[sources.episode[pool][:, None] == sources.episode[pool]] = np.inf
        i, j = np.repeat(pool, SIMILAR), pool[np.argsort(away, axis=1)[:, :SIMILAR]].ravel()
        pose = less(sources.pose[j], sources.pose[i]) / self._step
        lead = (sources.lead[j] - sources.lead[i]) / self._step
        action = (sources.action[i] - sources.action[j])[:, :AXES]
        full = np.abs(sources.action[:, :AXES]) > 0.99  # a full step hides what was wanted
        for axis in range(AXES):
            use = ~full[i, axis] & ~full[j, axis]
            x, y = np.stack([pose[use, axis], lead[use, axis]], axis=1), action[use, axis]
            ridge = SAME**2 * max(use.sum(), 1) * np.eye(2)
            found = np.linalg.solve(x.T @ x + ridge, x.T @ y + ridge @ gains[:, axis])
            explained = 1.0 - np.sum((y - x @ found) ** 2) / max(np.sum(y**2), 1e-9)
            gains[:, axis] += max(explained, 0.0) * (np.clip(found, 0.0, MOST_GAIN) - gains[:, axis])
        return gains

    def _away(self, kind: int, pose: np.ndarray, cues: np.ndarray) -> np.ndarray:
        """(n, pool) how far moments are from all frames of a segment's demonstrations, in steps squared."""
        sources, segments, pool = self._sources, self._segments, self._pool(kind)
        step = self._step if segments.travels[kind] else self._step / FINE
        way = less(sources.pose[pool], pose[:, None]) / step
        other = (sources.cues[pool] - cues[:, None]) / segments.cue_scale[kind]
        shut = self._barred(sources.cues[pool], cues[:, None])
        return (way**2).sum(axis=-1) + (other**2).sum(axis=-1) + SHUT * shut

    def _pool(self, kind: int) -> np.ndarray:
        """A segment's frames; all there are, where no demonstrator was ever in it."""
        return self._pools[kind] if len(self._pools[kind]) else np.arange(len(self._sources.segment))

    def _barred(self, then: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Whether a door is open that was closed then, or the other way round."""
        return np.any((np.abs(then - now) > 0.5) & self._segments.gates, axis=-1)

    def _go_on(self, pose: np.ndarray) -> None:
        """To the frame nearest to where the tool has got: not back, and not the same for long."""
        at, frames = self._at, np.arange(AHEAD + 1)
        ahead = np.minimum(at[:, None] + frames, self._sources.end[at][:, None])
        there = np.stack([self._moved(self._sources.pose[ahead[:, j]]) for j in frames], axis=1)
        cost = ((less(there, pose[:, None]) / self._step) ** 2).sum(axis=-1) + HASTE * (frames - 1) ** 2
        cost[self._stayed >= PATIENCE, 0] = np.inf
        on = cost.argmin(axis=1)
        self._stayed = np.where(on == 0, self._stayed + 1, 0)
        self._at = ahead[np.arange(len(at)), on]

    def _enter(self, rows: np.ndarray, pose: np.ndarray, cues: np.ndarray, entered: np.ndarray) -> None:
        """Put rows at the most similar moment of their segments; who has just come to one begins at its beginning."""
        sources, travels = self._sources, self._segments.travels
        for kind in np.unique(self._kind[rows]):
            mine, pool = self._kind[rows] == kind, self._pool(kind)
            away = self._away(kind, pose[mine], cues[mine])
            if travels[kind]:
                away += BEGINNING * (entered[mine][:, None] & ~sources.begins[pool])
            self._at[rows[mine]] = pool[away.argmin(axis=1)]
        at = self._at[rows]
        self._way_m[rows] = np.linalg.norm((sources.pose[at] - sources.pose[sources.end[at]])[:, :2], axis=1)
        stretches = travels[self._kind[rows]] & (self._way_m[rows] > self._step[0])
        self._offset[rows] = stretches[:, None] * less(pose, sources.pose[at]) * [1.0, 1.0, 1.0, 0.0]  # turning is free
        self._stayed[rows] = 0

    def _moved(self, pose: np.ndarray) -> np.ndarray:
        """Poses (n, 4) of the demonstrations, where they are now."""
        return stretched(pose, self._sources.pose[self._sources.end[self._at]], self._way_m, self._offset)

    def _drive(self, pose: np.ndarray, lead: np.ndarray) -> np.ndarray:
        """The action: the demonstrator's, and its answer to where the tool is and how far its reference is ahead."""
        sources, at, kind = self._sources, self._at, self._kind
        reference = sources.pose[at] + sources.lead[at]
        here, led = self._moved(sources.pose[at]), self._moved(reference)
        step = self._moved(reference + sources.action[at, :AXES] * self._step) - led
        step += self._on_way[kind] * less(here, pose) + self._on_lead[kind] * (led - here - lead)
        asked = lead[:, :3] + step[:, :3]
        length_m = np.linalg.norm(asked, axis=1)
        asked *= np.minimum(1.0, self._push_m[kind] / np.maximum(length_m, 1e-9))[:, None]
        step[:, :3] = asked - lead[:, :3]
        return np.clip(np.concatenate([step / self._step, sources.action[at, AXES:]], axis=1), -1.0, 1.0)
