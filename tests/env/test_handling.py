"""Handling: what is judged is the truth, what is seen is what a robot could know, and the expert can do it."""

import numpy as np
import pytest

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.env import batch
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.handling.expert import HandlingExpert
from robot_rlaas.env.handling.judge import Judge, Truth
from robot_rlaas.env.handling.plan import plan_of
from robot_rlaas.env.handling.senses import tool_yaw
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build
from robot_rlaas.sim.starts import Flat

DOWN = np.diag([1.0, -1.0, -1.0])


@pytest.fixture(scope="module")
def cell():
    return load_cell("machine_tending")


@pytest.fixture(scope="module")
def workcell(cell):
    return build(cell)


@pytest.fixture
def make(cell, workcell):
    def make(nsim: int, first: int = 0, nthread: int = 0, seed: int = 0, **task) -> BatchEnv:
        changed = cell.model_copy(update={"task": cell.task.model_copy(update=task)})
        backend = CpuBackend(workcell, changed, nsim, nthread)
        return BatchEnv(changed, workcell, backend, Seeds(seed, Space.SHOW), first)

    return make


def play(env, change=lambda i, env, action: action, steps: int | None = None):
    """The first episode of every row under the expert, whose actions `change` may change -> outcomes by row."""
    observation, ended, expert = env.reset(), {}, HandlingExpert(env.cell, env.contract, env.nsim)
    for i in range(steps or env.cell.horizon):
        step = env.step(change(i, env, expert.act(observation)))
        observation = step.observation
        for row, outcome in zip(step.rows, step.outcomes):
            ended.setdefault(int(row), outcome)
        if len(ended) == env.nsim:
            break
    return ended


def at_stage(env, name: str) -> np.ndarray:
    return env.task.believed == env.task.stages.index(name)


def test_the_expert_succeeds(make) -> None:
    ended = play(make(32))
    assert len(ended) == 32
    assert sum(o.success for o in ended.values()) >= 29
    assert not any(o.keep_out for o in ended.values())


def test_the_expert_fills_the_kit() -> None:
    kitting = load_cell("kitting")
    workcell = build(kitting)
    env = BatchEnv(kitting, workcell, CpuBackend(workcell, kitting, 8), Seeds(0, Space.SHOW))
    ended = play(env)
    assert sum(o.success for o in ended.values()) >= 7
    done = [o for o in ended.values() if o.success]
    assert all(list(o.stage_s) == sorted(o.stage_s) and len(o.stage_s) == 24 for o in done)


def test_the_same_seed_is_the_same_bits_on_any_number_of_threads(make) -> None:
    runs = []
    for threads in (1, 2):
        env = make(6, nthread=threads)
        ended, rewards = play(env, steps=120), []
        for _ in range(5):
            rewards.append(env.step(np.zeros((6, 5))).reward)
        runs.append((env.observation.tobytes(), np.array(rewards).tobytes(), ended))
    assert runs[0] == runs[1]


def test_a_dropped_part_is_a_failure_where_no_stage_takes_it_back(make) -> None:
    """Let go on the way past the gate: the episode ends there and then, and not in success."""

    def let_go(i, env, action):
        drops = at_stage(env, "pass_gate") & (env.backend._qpos[:, env.backend._free[0, 1]] > -0.12)
        action[drops, 4] = 1.0
        return action

    ended = play(make(8), let_go)
    for outcome in ended.values():
        assert not outcome.success
        assert outcome.stage == 3
        assert outcome.steps < 480


def test_a_part_lost_where_a_stage_says_so_is_picked_up_again(make) -> None:
    """Let go while the billet still is low over the tray: robot and judge go back to the stage that the cell names."""
    went_back = np.zeros(8, bool)

    def fumble(i, env, action):
        lifted = at_stage(env, "wait_at_gate") & (i < 90)
        low = env.backend._qpos[:, env.backend._free[0, 2]] < 0.02
        action[lifted & low & ~went_back, 4] = 1.0
        went_back[:] |= at_stage(env, "reach_billet") & (np.array(env.stage) >= 2)
        return action

    env = make(8)
    ended = play(env, fumble)
    assert went_back.all()
    assert sum(o.success for o in ended.values()) >= 6


def test_who_is_in_the_gates_zone_while_it_is_not_open_has_been_where_nobody_may_be(make, workcell) -> None:
    """Against an account kept beside the environment, of an arm that does not wait."""
    env, visits = make(16), np.zeros(16, bool)
    gate = env.cell.task.fixtures[2]
    center, half = np.array(gate.center_mm) / 1000, np.array(gate.size_mm) / 2000
    zone = workcell.envelope._replace(keep_out_min_m=(center - half)[None], keep_out_max_m=(center + half)[None])

    def rush(i, env, action):
        hurries = at_stage(env, "pass_gate")
        action[hurries, :2] = 0.0, 1.0
        return action

    step_of = env.backend.step

    def watched(setpoints, opening):
        physics = step_of(setpoints, opening)
        inside = inside_keep_out(zone, batch.tool_pose(workcell.chain, physics.q_rad))
        visits[:] |= ~over & inside & (physics.openings[:, 1] < 0.98)
        return physics

    env.backend.step, over = watched, np.zeros(16, bool)

    observation, ended, expert = env.reset(), {}, HandlingExpert(env.cell, env.contract, 16)
    for i in range(env.cell.horizon):
        step = env.step(rush(i, env, expert.act(observation)))
        observation = step.observation
        for row, outcome in zip(step.rows, step.outcomes):
            ended.setdefault(int(row), outcome)
            over[row] = True
    assert {row: o.keep_out for row, o in ended.items()} == dict(enumerate(visits.tolist()))
    assert 4 <= visits.sum() < 16


def test_what_is_seen_does_not_depend_on_what_nobody_sees(make, monkeypatch) -> None:
    """Part and bias moved against each other, the vise moved, other masses and frictions: the same observation."""
    seen, drawn = [], batch.draw
    for shift_mm in (0.0, 0.7):

        def shifted(cell, *args, shift_mm=shift_mm):
            d = drawn(cell, *args)
            names = list(cell.task.start_ranges)
            hidden = {"billet_x_mm": 1, "billet_bias_x_mm": -1, "vise_off_y_mm": 1, "billet_mass_kg": 0.01}
            for name, share in hidden.items():
                d.start[:, names.index(name)] += share * shift_mm
            return d

        monkeypatch.setattr(batch, "draw", shifted)
        env = make(4)
        observations = [env.reset()]
        for _ in range(12):
            observations.append(env.step(np.tile([0.3, -0.2, 0.0, 0.1, 1.0], (4, 1))).observation)
        seen.append(np.array(observations))
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-6)


def test_a_camera_is_late_and_blind_under_the_tool(make) -> None:
    """A part that is pushed is seen where it was; one that the tool is over is seen where it was last."""
    env = make(2)
    env.reset()
    sight, q = env.cell.task.sight, env.backend._qpos
    late = round(sight.latency_s / env.cell.period_s)
    x, still = env.backend._free[0, 0], np.zeros((2, 5))
    q[:, x] += 0.05
    path = []
    for _ in range(late + 2):
        env.step(still)
        path.append(env.task._account.seen.p[:, 0, 0] - env.task._bias[:, 0, 0] - q[:, x])
    jump = np.abs(np.array(path)) < 6 * sight.noise_mm / 1000
    assert (jump.argmax(axis=0) == late).all()
    seen = env.task._account.seen.p[:, 0].copy()
    velocity = env.backend.batch.bind("qvel")
    for _ in range(late + 2):
        velocity[:, -6:] = 0.0
        q[:, env.backend._free[0, :3]] = batch.tool_pose(env.workcell.chain, q[:, :6]).p - np.array([0, 0, 0.08])
        env.step(still)
    np.testing.assert_array_equal(env.task._account.seen.p[:, 0], seen)


def test_pressing_too_hard_and_leaning_too_far_are_failures(make) -> None:
    def press(i, env, action):
        return np.tile([0.0, 0.0, -1.0, 0.0, 1.0], (4, 1))

    pressed = play(make(4, break_N=40.0), press)
    assert all(not o.success and o.peak_force_N > 40.0 and o.steps < 480 for o in pressed.values())
    leaning = play(make(8, carry_tilt_deg=0.1))
    assert all(not o.success and o.stage in (1, 2, 3, 4) and o.steps < 480 for o in leaning.values())


def test_the_vise_closes_when_the_robot_says_so_and_not_before(make) -> None:
    env, told = make(4), []
    close = env.task.stages.index("close_vise")

    def note(i, env, action):
        told.append((env.task.believed >= close, env.task.machines[:, 0] < 0.5))
        return action

    play(env, note)
    says, closes = (np.array(column) for column in zip(*told))
    np.testing.assert_array_equal(says, closes)
    assert says.any()


def placed(task, plan, **changes) -> tuple[Flat, Truth]:
    """One row: the billet stands in the clamped vise, the open tool above it."""
    seats = Flat(plan.goal.p[[4]][None] - np.array([0, 0, plan.grip_m[0]]), np.zeros((1, 1)))
    at = {"base": seats.p.copy(), "up": np.array([[[0.0, 0.0, 1.0]]]), "yaw": np.zeros((1, 1))}
    tool = Pose(DOWN[None], plan.goal.p[[7]])
    closed = plan.drive_end[6]
    drives = {"aperture_m": np.array([0.085]), "openings": np.array([[closed, 1.0]])}
    return seats, Truth(**{**at, **drives, "tool": tool, "contact_N": np.zeros(1), **changes})


@pytest.mark.parametrize(
    ("changes", "done", "failed"),
    [
        ({}, True, False),
        ({"base": np.array([[[0.46, 0.27, 0.08]]])}, False, False),
        ({"yaw": np.array([[np.pi]])}, True, False),
        ({"yaw": np.array([[np.pi / 2]])}, False, False),
        ({"base": np.array([[[0.9, 0.0, -0.1]]])}, False, True),
        ({"up": np.array([[[1.0, 0.0, 0.0]]])}, False, True),
        ({"contact_N": np.array([151.0])}, False, True),
    ],
    ids=["as it should be", "lifted out", "turned by half", "turned by a quarter", "fallen", "over", "pressed"],
)
def test_the_whole_chain_is_done_only_while_the_part_stands_at_its_seat(cell, changes, done, failed) -> None:
    plan = plan_of(cell.task)
    judge = Judge(cell.task, plan, cell.period_s)
    seats, now = placed(cell.task, plan, **changes)
    verdict = judge.judge(np.array([len(plan.verb)]), np.zeros(1, int), seats, now)
    assert (bool(verdict.done[0]), bool(verdict.failed[0])) == (done, failed)


def test_stages_are_done_in_their_order_and_each_is_worth_one(cell) -> None:
    """From any stage on, the state at the end does the rest, as far as it does that; the gripper must have held."""
    plan = plan_of(cell.task)
    judge = Judge(cell.task, plan, cell.period_s)
    seats, now = placed(cell.task, plan)
    stages = np.arange(len(plan.verb) + 1)
    every = [judge.judge(np.array([s]), np.zeros(1, int), seats, now) for s in stages]
    assert [int(v.stage[0]) for v in every] == [0, 1, 2, 3, 7, 8, 8, 8, 8]
    for start, verdict in zip(stages, every):
        assert verdict.stage[0] <= verdict.potential[0] <= min(verdict.stage[0] + 1, len(plan.verb)), start


def test_the_shaping_potential_adds_up_to_one_per_stage(make) -> None:
    env, gained = make(8), np.zeros(8)
    observation, expert, ended = env.reset(), HandlingExpert(env.cell, env.contract, 8), np.zeros(8, bool)
    start = env._potential.copy()
    for _ in range(env.cell.horizon):
        step = env.step(expert.act(observation))
        observation = step.observation
        gained += np.where(ended, 0.0, step.terms["progress"])
        for row, outcome in zip(step.rows, step.outcomes):
            if not ended[row]:
                assert outcome.success
                np.testing.assert_allclose(start[row] + gained[row], len(env.task.stages) - 1, atol=1e-9)
            ended[row] = True
    assert ended.all()


def test_the_yaw_of_a_tool_that_points_down_is_its_turn() -> None:
    turn = np.array([-2.0, 0.0, 1.2])
    c, s = np.cos(turn), np.sin(turn)
    R = np.array([[[a, -b, 0], [b, a, 0], [0, 0, 1]] for a, b in zip(c, s)]) @ DOWN
    np.testing.assert_allclose(tool_yaw(R), turn, atol=1e-12)
