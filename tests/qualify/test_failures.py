"""Failures with a planted cause are sorted by it; failures without one are left together."""

import json
import math

import numpy as np
import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.env.batch import Outcome
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.qualify.failures import (
    _best_cut,
    clusters,
    failure_kind,
    starts_json,
)
from robot_rlaas.qualify.trials import START_AXES, Trial, run_trials, starts_of
from robot_rlaas.qualify.words import COMBINED_AXES, FAILURE_KINDS, PHRASES, combined_axes
from robot_rlaas.sim.variation import draw

SEEDS = Seeds(3, Space.QUALIFY, (17, 4))
GOOD = Outcome(0, True, 3.0, 30.0, False, 3, 60, 1.0, (1.0, 2.0, 3.0), 1.5)
LOST = GOOD._replace(success=False, cycle_time_s=math.inf, stage=1, steps=160, stage_s=(1.0, math.inf, math.inf))
STUCK = LOST._replace(stage=2, stage_s=(1.0, 2.0, math.inf))


@pytest.fixture(scope="module")
def starts(cell):
    """The starts of 1,000 episodes."""
    return starts_of(draw(cell, SEEDS, np.arange(1000)))


def axis(starts, name):
    return starts[:, START_AXES.index(name)]


def made_up(starts, failed, failure=LOST, seed=0):
    """Trials of these starts whose contact history scatters; those that failed are like `failure`."""
    rng, trials = np.random.default_rng(seed), []
    for i, start in enumerate(starts):
        like = failure if failed[i] else GOOD
        times = tuple(t + 0.3 * rng.random() for t in like.stage_s)
        force, at = like.peak_force_N + rng.exponential(2.0), times[0] + rng.random()
        cycle_s = times[2] if like.success else math.inf
        changed = {"peak_force_N": force, "peak_at_s": at, "stage_s": times, "cycle_time_s": cycle_s}
        trials.append(Trial(like._replace(episode=i, **changed), start))
    return trials


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (GOOD, None),
        (LOST._replace(stage=0), "approach"),
        (LOST, "search"),
        (STUCK, "insert"),
        (LOST._replace(stage=3), "done"),
        (LOST._replace(keep_out=True), "keep_out"),
        (GOOD._replace(keep_out=True, peak_force_N=99.0), "keep_out"),
        (GOOD._replace(peak_force_N=60.1, cycle_time_s=7.0), "force"),
        (GOOD._replace(peak_force_N=math.nan), "force"),
        (GOOD._replace(cycle_time_s=6.05), "slow"),
        (GOOD._replace(peak_force_N=60.0, cycle_time_s=6.0), None),
    ],
)
def test_kind_of_failure(cell, outcome, kind) -> None:
    assert failure_kind(cell, outcome) == kind
    assert kind is None or kind in FAILURE_KINDS


def test_every_axis_can_be_put_into_words() -> None:
    assert set(PHRASES) == {*START_AXES, *COMBINED_AXES}


def test_displacements_add_up(cell) -> None:
    """By hand: the tool points down, so its y and z are the hole's backwards; the peg stands out by 40 mm."""

    def combined(**values: float) -> dict[str, float]:
        start = np.array([[values.get(name, 0.0) for name in START_AXES]])
        return dict(zip(COMBINED_AXES, combined_axes(cell, start)[0]))

    assert list(combined().values()) == pytest.approx([0] * 5, abs=1e-9)
    assert combined(plate_x_mm=20, plate_yaw_deg=8)["miss_mm"] == pytest.approx(0, abs=1e-9)
    seen = combined(bias_x_mm=0.6, bias_y_mm=-0.8, bias_yaw_deg=0.7)
    assert list(seen.values()) == pytest.approx([0.6, -0.8, 1.0, 0.0, 0.7])
    turned = combined(bias_x_mm=0.6, plate_yaw_deg=90)
    assert [turned["miss_x_mm"], turned["miss_y_mm"]] == pytest.approx([0.0, -0.6], abs=1e-9)
    held = combined(hand_x_mm=0.3, hand_y_mm=0.4, hand_rz_deg=0.5)
    assert list(held.values()) == pytest.approx([0.3, -0.4, 0.5, 0.0, -0.5])
    leaning = combined(hand_ry_deg=1.0)
    lever = cell.task.part.length_mm * math.sin(math.radians(1.0))
    assert list(leaning.values()) == pytest.approx([lever, 0.0, lever, 1.0, 0.0], abs=1e-9)
    assert combined(hand_x_mm=0.5, bias_x_mm=-0.5)["miss_mm"] == pytest.approx(0, abs=1e-9)


def test_one_cause_is_one_cluster_and_is_named_first(cell, starts) -> None:
    found = clusters(cell, made_up(starts, axis(starts, "friction") > 0.38))
    assert [cluster.name for cluster in found] == ["search"]
    assert [contrast.axis for contrast in found[0].contrasts] == ["friction"]
    assert found[0].contrasts[0].median == pytest.approx(0.39, abs=0.004)
    assert found[0].contrasts[0].median_of_all == pytest.approx(0.30, abs=0.01)
    assert found[0].text.startswith(
        "touched the plate and never found the hole; typical start: friction was 0.39 (all episodes: 0.30); "
        "typical course: at the plate after 1.1 s, largest force 3"
    )


def test_displacements_that_matter_together_are_named_together(cell, starts) -> None:
    """A peg that is far off where it is aimed: no single axis says it as surely."""
    miss = combined_axes(cell, starts)[:, COMBINED_AXES.index("miss_mm")]
    first = clusters(cell, made_up(starts, miss > np.quantile(miss, 0.96)))[0].contrasts[0]
    assert first.axis == "miss_mm"
    assert first.p < 1e-12


def test_two_opposite_causes_are_two_clusters(cell, starts) -> None:
    y = axis(starts, "hand_y_mm")
    trials = made_up(starts, np.abs(y) > 0.94)
    found = clusters(cell, trials)
    assert sorted(cluster.name for cluster in found) == ["search 1", "search 2"]
    assert len(found[0].episodes) >= len(found[1].episodes)
    for cluster in found:
        mine = y[list(cluster.episodes)]
        assert abs(np.sign(mine).sum()) == len(mine)
        assert cluster.medoid in cluster.episodes
        held = next(contrast for contrast in cluster.contrasts if contrast.axis == "hand_y_mm")
        assert held.median == pytest.approx(np.median(mine), abs=1e-4)
        assert not held.magnitude
        assert f"the part sat {held.median:+.1f} mm off in y in the hand" in cluster.text
    everyone = {number for cluster in found for number in cluster.episodes}
    assert everyone == {trial.outcome.episode for trial in trials if failure_kind(cell, trial.outcome)}


def test_two_courses_are_two_clusters_though_their_starts_are_alike(cell, starts) -> None:
    """One in three got to the plate late, for no reason that a start shows."""
    trials = made_up(starts, np.random.default_rng(1).random(1000) < 0.06)
    for i, trial in enumerate(trials):
        if not trial.outcome.success and i % 3 == 0:
            late = tuple(t + 2.0 for t in trial.outcome.stage_s)
            trials[i] = trial._replace(outcome=trial.outcome._replace(stage_s=late))
    found = clusters(cell, trials)
    assert [cluster.name for cluster in found] == ["search 1", "search 2"]
    early, late = (cluster.history["search_s"] for cluster in found)
    assert early.highest < 1.5 < 3.0 < late.lowest
    assert all(number % 3 == 0 for number in found[1].episodes)
    assert "no start axis stands out; typical course: at the plate after 3." in found[1].text


@pytest.mark.parametrize(("periods", "count"), [(1, 1), (20, 2)])
def test_neighbouring_control_periods_are_not_two_courses(cell, starts, periods, count) -> None:
    trials = made_up(starts, np.arange(1000) < 30)
    for i in range(30):
        search_s = 1.0 + (i % 2) * periods * cell.period_s
        outcome = trials[i].outcome._replace(stage_s=(search_s, math.inf, math.inf), peak_at_s=search_s)
        trials[i] = trials[i]._replace(outcome=outcome)
    assert len(clusters(cell, trials)) == count


def test_failures_without_a_cause_stay_together(cell, starts) -> None:
    """40 draws of who fails: a split, or an axis that stands out, is no more frequent than promised."""
    found = [
        clusters(cell, made_up(starts, np.random.default_rng(100 + seed).permutation(1000) < 40, seed=seed))
        for seed in range(40)
    ]
    assert np.mean([len(each) > 1 for each in found]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
    assert np.mean([bool(each[0].contrasts) for each in found]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


def test_a_few_oddities_are_no_cluster(cell, starts) -> None:
    trials = made_up(starts, np.arange(1000) < 40)
    for i in range(2):
        trials[i] = trials[i]._replace(outcome=trials[i].outcome._replace(peak_force_N=900.0))
    assert len(clusters(cell, trials)) == 1


def test_largest_cluster_first_and_each_failure_in_one(cell, starts) -> None:
    friction = axis(starts, "friction")
    trials = made_up(starts, friction > 0.38)
    trials = [
        t if f > 0.22 else Trial(STUCK._replace(episode=i), t.start) for i, (t, f) in enumerate(zip(trials, friction))
    ]
    trials[5] = trials[5]._replace(outcome=trials[5].outcome._replace(keep_out=True))
    found = clusters(cell, trials)
    sizes = [len(cluster.episodes) for cluster in found]
    assert sizes == sorted(sizes, reverse=True)
    assert {cluster.kind for cluster in found} == {"search", "insert", "keep_out"}
    numbers = [number for cluster in found for number in cluster.episodes]
    assert sorted(numbers) == [i for i, trial in enumerate(trials) if failure_kind(cell, trial.outcome)]


def test_history_says_who_got_how_far_and_when(cell, starts) -> None:
    trials = [Trial(GOOD._replace(episode=i), starts[i]) for i in range(50)]
    for i, (search_s, force_N) in enumerate([(1.0, 10.0), (1.5, 30.0), (4.0, 20.0)]):
        lost = LOST._replace(episode=i, stage_s=(search_s, math.inf, math.inf), peak_force_N=force_N)
        trials[i] = trials[i]._replace(outcome=lost)
    (cluster,) = clusters(cell, trials)
    assert cluster.history["search_s"] == (3, 1.5, 1.0, 4.0)
    assert cluster.history["peak_force_N"] == (3, 20.0, 10.0, 30.0)
    assert cluster.history["insert_s"] is None
    assert cluster.medoid == 1
    shown = json.loads(json.dumps(cluster.to_json(), allow_nan=False))
    assert shown["count"] == 3
    assert shown["history"]["search_s"] == {"episodes": 3, "median": 1.5, "lowest": 1.0, "highest": 4.0}
    assert shown["history"]["done_s"] is None


@pytest.mark.parametrize("total", [1, 2, 6, 30])
def test_when_everything_fails_there_is_nothing_to_compare_with(cell, starts, total) -> None:
    found = clusters(cell, made_up(starts[:total], np.ones(total)))
    assert sum(len(cluster.episodes) for cluster in found) == total
    assert not any(cluster.contrasts for cluster in found)
    assert ("too few to compare" in found[0].text) == (total < 3)


def test_no_failure_no_cluster(cell, starts) -> None:
    assert clusters(cell, made_up(starts[:20], np.zeros(20))) == []
    assert clusters(cell, []) == []


def test_a_force_that_is_no_number_does_no_harm(cell, starts) -> None:
    trials = made_up(starts, np.arange(1000) < 20)
    trials[3] = trials[3]._replace(outcome=trials[3].outcome._replace(peak_force_N=math.nan))
    (cluster,) = clusters(cell, trials)
    assert cluster.history["peak_force_N"].episodes == 19
    json.dumps(cluster.to_json(), allow_nan=False)


def test_the_best_cut_explains_most() -> None:
    rows = np.random.default_rng(0).integers(0, 12, (30, 25)).astype(float)
    explained, threshold = _best_cut(rows, 4)
    for row, share, value in zip(rows, explained, threshold):
        cuts = [v for v in np.unique(row) if 4 <= np.sum(row <= v) <= 21]
        within = [np.var(row[row <= v]) * np.sum(row <= v) + np.var(row[row > v]) * np.sum(row > v) for v in cuts]
        assert share == pytest.approx(1 - min(within) / (25 * np.var(row)))
        assert value in [v for v, w in zip(cuts, within) if w == pytest.approx(min(within))]
    assert _best_cut(np.zeros((1, 8)), 3)[0] == 0.0


def test_what_is_exported_starts_the_same_episodes(cell, starts) -> None:
    trials = made_up(starts, axis(starts, "hand_y_mm") > 0.9)
    found = clusters(cell, trials)
    content = json.loads(json.dumps(starts_json(cell, SEEDS, trials, found), allow_nan=False))
    assert content["cell_hash"] == cell.hash
    again = Seeds(content["seed"], Space[content["space"]], tuple(content["key"]))
    for exported, cluster in zip(content["clusters"], found, strict=True):
        assert exported["episodes"] == list(cluster.episodes)
        assert exported["medoid"] == cluster.medoid
        drawn = starts_of(draw(cell, again, np.array(exported["episodes"])))
        np.testing.assert_allclose(exported["starts"], drawn, atol=1e-4)
        shown = dict(zip(content["axes"], np.array(exported["starts"]).T))
        assert shown["hand_y_mm"].min() > 0.9 - 1e-4


def test_real_episodes(make_env, cell) -> None:
    """The expert against a force limit that it often breaks."""
    need = cell.requirements
    limit = need.contact_force_N.model_copy(update={"limit": 45.0})
    strict = cell.model_copy(update={"requirements": need.model_copy(update={"contact_force_N": limit})})
    env = make_env(32, nthread=1)
    trials = run_trials(env, InsertionExpert(cell, env.contract, 32), 64, lambda ended: None)
    found = clusters(strict, trials)
    numbers = [number for cluster in found for number in cluster.episodes]
    assert sorted(numbers) == [t.outcome.episode for t in trials if failure_kind(strict, t.outcome)]
    forced = next(cluster for cluster in found if cluster.kind == "force")
    mine = [t.outcome for t in trials if t.outcome.episode in forced.episodes]
    assert forced.history["peak_force_N"].lowest == pytest.approx(min(o.peak_force_N for o in mine), abs=1e-4)
    assert forced.history["peak_force_N"].lowest > 45
    assert forced.history["done_s"].median == pytest.approx(np.median([o.cycle_time_s for o in mine]))
