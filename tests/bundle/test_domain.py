"""The operating domain, on observations whose distribution is known."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from handmade import CELL, CONTRACT, bundle_in, policy_in, report_in

from robot_rlaas.bundle import build_bundle, load_bundle
from robot_rlaas.bundle.domain import BOUNDS, LEAST_EPISODES, STILL, Domain, fit
from robot_rlaas.bundle.load import sha256
from robot_rlaas.cell.errors import InputError
from robot_rlaas.deploy.inside import LEFT_PERIODS, Inside

N = CONTRACT.observation_size
POLICY = "ab" * 32


def episodes(count: int, seed: int, steps: int = 80) -> list[np.ndarray]:
    """Two phases: x and y go together about (0, 0), and then against each other about (10, 10), with a flag."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(count):
        x = rng.normal(size=(steps, N))
        late = np.arange(steps) >= steps // 2
        x[:, 1] = np.where(late, 10 - x[:, 0], x[:, 0]) + 0.05 * x[:, 1]
        x[:, 0] += 10 * late
        x[:, 3] = late
        parts.append(x.astype(np.float32))
    return parts


@pytest.fixture(scope="module")
def domain() -> Domain:
    found = fit(episodes(600, 0), CONTRACT, CELL.hash, POLICY)
    assert found is not None
    return found


def test_one_in_a_thousand_of_other_episodes_is_outside(domain):
    """48,000 observations of other episodes: 48 outside are expected, and a few more for a unit that is an estimate."""
    share = np.mean(domain.scores(np.concatenate(episodes(600, 1))) > 1)
    assert 0.0005 < share < 0.002


def test_a_combination_that_was_never_seen_is_outside(domain):
    """Each number of it alone is usual."""
    usual = np.zeros(N, np.float32)
    assert domain.score(usual) < 1
    for x, y, flag in ((3, -3, 0), (10, 0, 1), (0, 0, 1), (0, 10, 0), (0, 0, 0.5)):
        strange = usual.copy()
        strange[[0, 1, 3]] = x, y, flag
        assert domain.score(strange) > 1, (x, y, flag)
        assert domain.beyond(strange) == []
    far = usual.copy()
    far[[0, 7]] = -30, 30
    assert domain.score(far) > 3
    assert domain.beyond(far) == [domain.axes[0], domain.axes[7]]


def test_the_score_is_the_distance_to_the_nearest_region(domain):
    """By the book: Mahalanobis in each region, the least of them."""
    x = np.concatenate(episodes(1, 5))
    n = domain.size
    by_hand = [
        min(
            np.linalg.norm(row @ domain.maps[:, i : i + n] - domain.offsets[i : i + n])
            for i in range(0, len(domain.offsets), n)
        )
        for row in x.astype(np.float64)
    ]
    np.testing.assert_allclose([domain.score(row) for row in x], by_hand, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(domain.scores(x), by_hand, rtol=2e-4, atol=2e-4)


def test_what_is_no_number_is_not_inside(domain):
    x = np.zeros(N, np.float32)
    x[4] = np.nan
    assert not domain.score(x) <= 1
    assert domain.beyond(x) == [domain.axes[4]]
    assert watched(domain, np.tile(x, (LEFT_PERIODS, 1))).left


def test_bounds_are_quantiles(domain):
    x = np.concatenate(episodes(600, 0))
    np.testing.assert_allclose(domain.bounds, np.quantile(x, BOUNDS, axis=0), rtol=1e-6, atol=1e-6)
    assert (domain.episodes, domain.observations) == (600, len(x))


def test_the_same_bits_come_back(domain):
    again = Domain.from_json(json.loads(json.dumps(domain.to_json())))
    for name in ("bounds", "maps", "offsets", "repeats"):
        np.testing.assert_array_equal(getattr(again, name), getattr(domain, name))
        assert getattr(again, name).dtype == getattr(domain, name).dtype
    assert again.axes == domain.axes


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"maps": [[1.0]]},
        {"offsets": []},
        {"axes": ["x"]},
        {"axes": [], "bounds": [[], [], []], "maps": [], "offsets": [], "repeats": []},
        {"repeats": "many"},
        {"repeats": [10**30]},
        {"bounds": None},
    ],
)
def test_what_does_not_fit_together_is_refused(domain, change):
    with pytest.raises(InputError, match="not an operating domain"):
        Domain.from_json(domain.to_json() | change)
    with pytest.raises(InputError, match="not an operating domain"):
        Domain.from_json({k: v for k, v in domain.to_json().items() if k not in change})


def test_few_episodes_say_nothing():
    assert fit(episodes(LEAST_EPISODES - 1, 0), CONTRACT, CELL.hash, POLICY) is None
    little = fit(episodes(LEAST_EPISODES, 0), CONTRACT, CELL.hash, POLICY)
    assert little is not None
    assert np.mean(little.scores(np.concatenate(episodes(100, 1))) > 1) < 0.02


def test_a_score_costs_little(domain):
    """On one core; the machine may be busy, so the quickest of many counts."""
    x, took = np.zeros(N, np.float32), []
    for _ in range(2000):
        start = time.perf_counter()
        domain.score(x)
        took.append(time.perf_counter() - start)
    assert min(took) < 50e-6


def test_it_needs_neither_ros_nor_a_simulator():
    code = (
        "import sys\nimport robot_rlaas.deploy.inside\n"
        "heavy = {'rclpy', 'mujoco', 'torch', 'onnx', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_it_travels_in_the_bundle_of_its_policy_alone(domain, tmp_path):
    policy = policy_in(tmp_path / "policy")
    report, beside = report_in(tmp_path, policy), tmp_path / "domain.json"
    beside.write_text(json.dumps(domain.to_json()))
    with pytest.raises(InputError, match=r"domain\.json: this domain is of another policy"):
        build_bundle(policy, report, tmp_path / "bundle")
    network_hash = sha256((policy / "policy.onnx").read_bytes())
    beside.write_text(json.dumps(domain.to_json() | {"policy_sha256": network_hash}))
    found = load_bundle(build_bundle(policy, report, tmp_path / "bundle")).domain
    assert found is not None
    x = np.concatenate(episodes(1, 2))
    np.testing.assert_array_equal(found.scores(x), domain.scores(x))
    assert load_bundle(bundle_in(tmp_path / "without")).domain is None


def watched(domain: Domain, rows: np.ndarray) -> Inside:
    inside = Inside(domain)
    inside.begin()
    for row in rows:
        inside.see(row)
    return inside


def test_one_attempt_is_watched(domain):
    rows = episodes(1, 7)[0]
    calm = watched(domain, rows[:20])
    assert not calm.left
    assert calm.told()["attempts"] == [
        {"periods": 20, "outside": 0, "longest": 0, "worst": pytest.approx(max(domain.scores(rows[:20]))),
         "beyond": [], "frozen": []}
    ]  # fmt: skip
    rows[10 : 10 + LEFT_PERIODS, 5] = 40.0
    inside = Inside(domain)
    inside.begin()
    left = []
    for row in rows[:20]:
        inside.see(row)
        left.append(inside.left)
    assert left == [i == 10 + LEFT_PERIODS - 1 for i in range(20)]
    told = inside.told()
    assert (told["attempts_left"], told["left"]) == (1, False)
    assert (told["attempts"][0]["outside"], told["attempts"][0]["longest"]) == (LEFT_PERIODS, LEFT_PERIODS)
    assert told["attempts"][0]["beyond"] == [domain.axes[5]]


def test_a_frozen_sensor_is_told_by_what_no_longer_changes(domain):
    """The flag is the same for half an episode, and may be so for longer."""
    rows = episodes(1, 8)[0]
    assert watched(domain, np.concatenate([rows[:40], rows[:40]])).told()["attempts"][0]["frozen"] == []
    rows[5:40, 12] = rows[5, 12]
    inside = Inside(domain)
    inside.begin()
    outside = [not inside.see(row) <= 1.0 for row in rows[:40]]
    assert outside.index(True) == 5 + STILL
    told = inside.told()
    assert told["attempts"][0]["frozen"] == [domain.axes[12]]
    assert (told["left"], told["score"]) == (True, None)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    inside.begin()
    assert not inside.left, "another attempt begins anew"


def test_the_policy_acts_as_it_does_unwatched(domain, signed):
    policy, inside = load_bundle(signed).policy(), Inside(domain)
    acting = inside.watching(policy)
    acting.reset(np.arange(1))
    x = episodes(1, 3)[0]
    for row in x[:5]:
        np.testing.assert_array_equal(acting.act(row[None]), policy.act(row[None]))
    assert inside.told()["attempts"][0]["periods"] == 5
