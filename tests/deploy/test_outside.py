"""What follows when the operating domain is left, by hand-computed scores; and on a virtual arm over ROS 2."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from supervised import AGE_S, CHAIN, ENVELOPE, HOME, PERIOD_S, Bench, acceleration, on_time, steady

from robot_rlaas.bundle import Bundle, load_bundle
from robot_rlaas.bundle.domain import Domain
from robot_rlaas.cell.errors import InputError
from robot_rlaas.deploy import names
from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.events import Journal
from robot_rlaas.deploy.outside import FAR, HOLD_S, LASTING_S, SLOW_SHARE, Outside
from robot_rlaas.deploy.plan import plan
from robot_rlaas.deploy.run import DeploymentError, follow, started

GIVEN = {"attempts": 3, "arm": "virtual", "plant": "ur5e_worn", "seed": 0}
ROS_DOMAIN = 88
SPEED = np.array([2.0, 2.0])
BALL = Domain(  # one region: the score is the distance from the origin
    cell_hash="",
    policy_sha256="",
    axes=("force x", "force y"),
    bounds=np.array([[-0.9, -0.9], [0.0, 0.0], [0.9, 0.9]], np.float32),
    maps=np.eye(2, dtype=np.float32),
    offsets=np.zeros(2, np.float32),
    repeats=np.zeros(2, np.int64),
    episodes=40,
    observations=1000,
)


def at(score: float, turn_rad: float) -> np.ndarray:
    return score * np.array([np.cos(turn_rad), np.sin(turn_rad)], np.float32)


class Told:
    """What the supervisor's side hears, a period after the other; no number ever repeats itself."""

    def __init__(self) -> None:
        self.counts, self.journal = Counts(CHAIN.joints), Journal()
        self.outside = Outside(BALL, SPEED, PERIOD_S, self.counts, self.journal)
        self.now_s, self._number = 0.0, 0

    def sees(self, score: float | None, times: int = 1) -> None:
        """Targets, and for each an observation with this score; None: between attempts."""
        for _ in range(times):
            self.silent()
            self._number += 1
            turn = 1e-3 * self._number
            self.outside.see(None if score is None else at(score, turn), AGE_S, self.now_s)

    def silent(self, times: int = 1) -> None:
        """Targets about which nothing is said."""
        for _ in range(times):
            self.now_s += PERIOD_S
            self.outside.target(self.now_s)

    @property
    def cause(self) -> str:
        trouble = self.outside.trouble(self.now_s)
        return trouble.text if trouble else ""

    @property
    def left(self) -> bool:
        return self.outside.left(self.now_s)

    def step(self, wanted: float) -> float:
        """How far the first joint may go in a period that wants it to go so far; the second wants half of it."""
        wanted_rad = wanted * np.array([1.0, 0.5])
        target = self.outside.slower(np.zeros(2), wanted_rad, self.now_s)
        assert target[1] == pytest.approx(target[0] / 2)  # on the straight way
        return float(target[0])


def test_two_periods_outside_are_nothing_and_three_are_slow():
    told = Told()
    told.sees(0.5, 10)
    told.sees(1.2, 2)
    assert not told.left
    told.sees(0.5)
    told.sees(1.2, 3)
    assert told.left
    assert told.cause == ""
    told.sees(0.99)
    assert not told.left


def test_a_second_outside_is_a_hold_that_names_the_number():
    told = Told()
    told.sees(0.5)
    told.sees(1.2, round(HOLD_S / PERIOD_S))
    assert told.cause == ""
    told.sees(1.2)
    assert told.cause == "the policy sees what it was not qualified on: force x"
    trouble = told.outside.trouble(told.now_s)
    assert trouble is not None
    assert (trouble.cause, trouble.lasting_s, trouble.unit) == ("domain", LASTING_S, "radii")
    assert trouble.value == pytest.approx(1.2)


def test_far_outside_is_a_hold_after_three_periods():
    told = Told()
    told.sees(FAR + 0.1, 2)
    assert told.cause == ""
    told.sees(FAR + 0.1)
    assert "force x" in told.cause
    told.sees(np.nan, 3)
    assert "force x" in told.cause  # a number that is none is within no bounds


def test_a_frozen_number_is_a_hold():
    told = Told()
    for i in range(8):
        told.silent()
        told.outside.see(np.array([0.1, 0.1 + 0.01 * i], np.float32), AGE_S, told.now_s)
        assert told.cause == ("" if i < 7 else "what the policy sees no longer changes: force x")


def test_targets_about_which_nothing_is_said_count_as_outside():
    told = Told()
    told.sees(0.5, 3)
    told.silent(3)
    assert not told.left  # one is on its way, two are outside
    told.silent()
    assert told.left
    told.silent(round(HOLD_S / PERIOD_S))
    assert told.cause == "the policy does not say what it sees"
    told.outside.see(at(0.5, 0.0), age_s=1.0, now_s=told.now_s)  # too old: not said
    told.outside.see(at(0.5, 0.0)[:1], AGE_S, told.now_s)  # not what this policy sees
    assert told.cause
    told.sees(None)
    assert (told.left, told.cause) == (False, "")


def test_what_was_outside_is_over_when_nothing_comes_any_more():
    told = Told()
    told.sees(1.2, 60)
    assert told.cause
    told.now_s += 0.2
    assert (told.left, told.cause) == (False, "")


def test_the_way_to_a_target_is_shortened_smoothly_and_never_lengthened():
    told = Told()
    whole = SPEED[0] * PERIOD_S
    assert told.step(whole) == whole
    told.sees(1.2, 3)
    steps = [told.step(whole) / whole for _ in range(8)]
    assert steps[:2] == pytest.approx([1 - 0.98 / 6, 1 - 2 * 0.98 / 6])  # six periods are 0.3 s
    assert steps[5:] == pytest.approx([SLOW_SHARE] * 3)
    assert told.step(0.01 * whole) == 0.01 * whole  # slow enough by itself
    assert told.counts.cautious == 8
    (event,) = told.journal
    assert (event.what, event.cause, event.times) == ("slowed", "domain", 8)
    told.sees(0.5)
    steps = [told.step(whole) / whole for _ in range(8)]
    assert steps[0] == pytest.approx(SLOW_SHARE + 0.98 / 6)
    assert steps[6:] == pytest.approx([1.0, 1.0])
    assert told.counts.violations == 0


class Supervised(Bench):
    """A supervisor that is told a score with every target."""

    def __init__(self, domain: Domain | None = BALL) -> None:
        self.scores: list[tuple[float, float]] = []
        super().__init__()
        self.supervisor = type(self.supervisor)(CHAIN, ENVELOPE, PERIOD_S, 0.01, domain=domain)
        self.run(0.1)

    def stream(self, targets: np.ndarray, score: float) -> None:
        for i, target in enumerate(targets):
            self.run(PERIOD_S, on_time(target[None], self.now_s))
            self.supervisor.see(at(score, 1e-3 * i), AGE_S, self.now_s)


def test_an_arm_is_slowed_within_its_limits_then_held_and_latched_in_the_next_try():
    bench = Supervised()
    bench.stream(steady(10), 0.5)
    fast = np.abs(bench.path[-1] - bench.path[-2]).max() / 0.01
    assert fast == pytest.approx(0.4)
    bench.stream(HOME + (steady(20)[10:] - HOME), 1.5)
    slow = np.abs(bench.path[-1] - bench.path[-2]).max() / 0.01
    assert slow == pytest.approx(SLOW_SHARE * ENVELOPE.speed_rad_s[5], rel=0.05)
    assert (bench.supervisor.held, bench.counts.limited) == (None, 0)
    bench.stream(steady(32)[20:], 1.5)
    assert bench.supervisor.held == "domain"
    bench.run(0.6)  # the policy hears of it and leaves off
    assert bench.supervisor.held is None
    assert acceleration(bench.path) <= 1 + 1e-6
    at = bench.path[-1]
    bench.stream(np.tile(at, (30, 1)), 1.5)
    assert bench.supervisor.latched == "domain"
    assert bench.supervisor.reset(bench.now_s) == "domain"


def test_a_policy_that_goes_on_in_spite_of_a_hold_is_stopped():
    bench = Supervised()
    bench.stream(np.tile(HOME, (12, 1)), FAR + 1)
    assert bench.supervisor.held == "domain"
    bench.stream(np.tile(HOME, (40, 1)), FAR + 1)
    assert bench.supervisor.latched == "domain"


def test_without_a_domain_nothing_is_asked():
    bench = Supervised(domain=None)
    bench.stream(np.tile(HOME, (40, 1)), FAR + 1)
    assert (bench.supervisor.held, bench.supervisor.latched, bench.counts.cautious) == (None, None, 0)


def test_it_is_enforced_unless_somebody_asks_to_be_told_only(bundle, trust, tmp_path):
    loaded = load_bundle(bundle, trust)

    def rule(one: Bundle, **asked) -> tuple[bool, str]:
        params = {p.name: p.params for p in plan(one, tmp_path, domain_id=ROS_DOMAIN, **GIVEN, **asked)}
        return params["supervisor"]["domain"] is not None, params["recorder"]["metadata"]["operating_domain"]

    assert rule(loaded) == rule(loaded, domain="enforce") == (True, "enforce")
    assert rule(loaded, domain="tell") == (False, "tell")
    assert rule(replace(loaded, domain=None)) == (False, "unknown")
    with pytest.raises(InputError, match="enforce, tell"):
        rule(loaded, domain="ignore")


@pytest.mark.realtime
@pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")
def test_a_plate_where_no_plate_was_is_a_hold_and_then_a_stop(bundle, trust, tmp_path):
    """The virtual arm's feeder lays plates 60 mm away, 30 mm further than in the qualification."""
    changed, out, events = elsewhere(load_bundle(bundle, trust)), tmp_path / "out", list[str]()
    processes = plan(changed, out, domain_id=ROS_DOMAIN, **GIVEN)
    with started(processes, out) as running, pytest.raises(DeploymentError):
        follow(running, out, events.append)
    supervisor = json.loads((out / "supervisor.json").read_text())
    assert (supervisor["holds"]["domain"], supervisor["stops"]["domain"]) == (1, 1)
    first = next(e for e in supervisor["events"] if e["what"] == "held")
    assert first["cause"] == "domain"
    assert "the policy sees" in first["text"]
    assert first["text"].split(": ")[1].split(" ")[0] in {f.name for f in changed.contract.observation}
    seen, domain = said(out / "log.mcap"), changed.domain
    assert domain is not None
    assert any(one["seen"] is not None for one in seen)
    assert all(len(one["seen"]) == domain.size for one in seen if one["seen"] is not None)
    with (out / "log.mcap").open("rb") as file:
        metadata = {k: v for m in make_reader(file).iter_metadata() for k, v in m.metadata.items()}
    assert metadata["operating_domain"] == "enforce"


def elsewhere(bundle: Bundle) -> Bundle:
    content = bundle.cell.model_dump()
    ranges = content["variation"] | {"plate_xy_mm": (58, 62)}
    return replace(bundle, cell=type(bundle.cell).model_validate(content | {"variation": ranges}))


def said(log: Path) -> list[dict]:
    with log.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        return [json.loads(m.data) for *_, m in reader.iter_decoded_messages(topics=[names.OBSERVATION])]
