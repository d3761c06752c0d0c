"""The batched environment: deterministic, honest about what is true and what is seen."""

import numpy as np
from samples import watch_forces

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.env import reward
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.sim.variation import draw


def play(env, steps: int, expert=None):
    observation, outcomes, rewards = env.reset(), [], []
    policy = expert or InsertionExpert(env.cell, env.contract, env.nsim)
    for _ in range(steps):
        step = env.step(policy.act(observation))
        policy.reset(step.rows)
        outcomes += step.outcomes
        rewards.append(step.reward)
        observation = step.observation
    return observation, outcomes, np.array(rewards)


def test_the_same_seed_is_the_same_bits_on_any_number_of_threads(make_env) -> None:
    runs = [play(make_env(8, nthread=threads), 90) for threads in (1, 2)]
    assert runs[0][0].tobytes() == runs[1][0].tobytes()
    assert runs[0][1] == runs[1][1]
    assert runs[0][2].tobytes() == runs[1][2].tobytes()


def test_an_episode_is_the_same_whatever_runs_beside_it(make_env) -> None:
    _, many, _ = play(make_env(8), 165)
    _, alone, _ = play(make_env(1, first=5), 165)
    found = next(o for o in many if o.episode == 5)
    assert found == alone[0]._replace(reward=found.reward)
    assert abs(found.reward - alone[0].reward) < 1e-9


def test_the_expert_succeeds(make_env) -> None:
    _, outcomes, _ = play(make_env(32), 165)
    first = [o for o in outcomes if o.episode < 32]
    assert len(first) == 32
    assert sum(o.success for o in first) >= 29
    assert not any(o.keep_out for o in first)


def test_an_outcome_says_when_each_stage_was_reached_and_when_the_force_was_largest(make_env) -> None:
    """Against an account kept beside the environment: the stage after every step, the force in every period."""
    env = make_env(8)
    forces = watch_forces(env)
    observation, expert = env.reset(), InsertionExpert(env.cell, env.contract, 8)
    begun, first, ended = np.zeros(8, int), [{} for _ in range(8)], []
    for i in range(2 * env.cell.horizon):
        step = env.step(expert.act(observation))
        for row, outcome in zip(step.rows, step.outcomes):
            period = env.cell.period_s
            reached = first[row] | {
                k: outcome.steps * period for k in range(1, outcome.stage + 1) if k not in first[row]
            }
            assert outcome.stage_s == tuple(reached.get(k, np.inf) for k in (1, 2, 3))
            felt = np.array(forces)[begun[row] : i + 1, row]
            assert outcome.peak_force_N == felt.max()
            assert outcome.peak_at_s == (felt.argmax() + 1) * period
            assert list(outcome.stage_s) == sorted(outcome.stage_s)
            assert outcome.stage_s[2] == outcome.cycle_time_s
            begun[row], first[row] = i + 1, {}
            ended.append(outcome)
        for row in set(range(8)) - set(step.rows):
            for k in range(1, env.stage[row] + 1):
                first[row].setdefault(k, (i + 1 - begun[row]) * env.cell.period_s)
        expert.reset(step.rows)
        observation = step.observation
    assert len(ended) >= 16
    assert sum(o.stage_s[0] < o.stage_s[1] < o.stage_s[2] < np.inf for o in ended) >= 12


def test_standing_still_fails_and_earns_nothing(make_env) -> None:
    class Still:
        def act(self, observation):
            return np.zeros((len(observation), 4))

        def reset(self, ids):
            pass

    env = make_env(4)
    _, outcomes, rewards = play(env, env.cell.horizon, Still())
    assert [o.success for o in outcomes] == [False] * 4
    assert all(o.steps == env.cell.horizon and o.cycle_time_s == np.inf and o.peak_force_N == 0 for o in outcomes)
    assert all(o.stage_s == (np.inf, np.inf, np.inf) and o.peak_at_s == 0 for o in outcomes)
    assert rewards.sum(0).max() < 0


def test_reward_terms_add_up_and_force_is_charged_once(make_env) -> None:
    env = make_env(16)
    observation, expert = env.reset(), InsertionExpert(env.cell, env.contract, 16)
    charged = np.zeros(16)
    for _ in range(60):
        step = env.step(expert.act(observation))
        np.testing.assert_allclose(sum(step.terms.values()), step.reward, atol=1e-12)
        charged += step.terms["force"]
        observation = step.observation
        if step.rows.size:
            break
    peak = np.array([o.peak_force_N for o in step.outcomes])
    cost = -reward.FORCE_WEIGHT * reward.force_cost(env.cell, peak)
    np.testing.assert_allclose(charged[step.rows], cost, atol=1e-9)


def test_what_is_observed_is_the_truth_plus_the_drawn_bias(make_env) -> None:
    env = make_env(16)
    seen = env.contract.unpack(env.reset())
    d = draw(env.cell, Seeds(0, Space.SHOW), np.arange(16))
    hole = insertion.task_frame(env.cell, d.plate_xy_m, d.plate_yaw_rad)
    observed = insertion.task_frame(env.cell, d.plate_xy_m + d.bias_xy_m, d.plate_yaw_rad + d.bias_yaw_rad)
    assert np.abs(hole.p - observed.p).max() <= 1.0001e-3
    start = np.array([0.5, 0.0, 0.09])
    expected = np.einsum("nji,nj->ni", observed.R, start - observed.p)
    np.testing.assert_allclose(seen["tool_position"], expected, atol=1e-3)  # home is rounded, encoders are noisy


def test_draws_stay_in_their_ranges_and_use_them(cell) -> None:
    d = draw(cell, Seeds(1, Space.TRAIN), np.arange(400))
    for values, (low, high) in (
        (d.plate_xy_m * 1000, cell.variation.plate_xy_mm),
        (np.rad2deg(d.bias_yaw_rad), cell.variation.plate_bias_deg),
        (d.hand_m * 1000, cell.variation.hand_offset_mm),
        (d.delay_s, cell.variation.command_delay_s),
    ):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high


def test_the_command_delay_is_felt_and_survives_a_reset(cell, workcell) -> None:
    """Two arms, one 40 ms late: it lags by that much, in the first episode and after a reset."""
    from robot_rlaas.sim.cpu import CpuBackend

    backend = CpuBackend(workcell, cell, 2)
    start = draw(cell, Seeds(0, Space.SHOW), np.zeros(2))
    start = start._replace(delay_s=np.array([0.0, 0.04]))
    home = np.broadcast_to(np.deg2rad(np.array(cell.robot.home_deg)), (2, 6))
    for _ in range(2):
        backend.reset(np.arange(2), start, home)
        path = []
        for i in range(12):
            target = home[:, None, :] + 0.02 * np.minimum(1.0, (i * 10 + np.arange(10)) / 40)[None, :, None]
            path.append(backend.step(target).q_rad[:, 0])
        moved = np.array(path) - home[:, 0]
        lag = np.interp(0.01, moved[:, 1], np.arange(12)) - np.interp(0.01, moved[:, 0], np.arange(12))
        assert abs(lag * cell.period_s - 0.04) < 0.006
        assert np.abs(moved[0]).max() < 0.01


def test_the_first_touch_is_remembered(make_env) -> None:
    """Once it happened it stays, with its height and its time; a new episode has not touched anything."""
    env = make_env(8, nthread=1)
    expert = InsertionExpert(env.cell, env.contract, 8)
    env.reset()
    heights, touches = np.full(8, np.nan), 0
    for _ in range(200):
        step = env.step(expert.act(env.observation))
        seen = env.contract.unpack(step.final_observation)
        height, pressed = seen["tool_position"][:, 2], seen["force"][:, 2] > insertion.TOUCH_N
        first = np.isnan(heights) & pressed & (height < insertion.TOUCH_HEIGHT_M)
        touches += first.sum()
        heights[first] = height[first]
        happened = ~np.isnan(heights)
        np.testing.assert_array_equal(seen["touch"][:, 0], happened)
        np.testing.assert_allclose(seen["above_touch"][happened, 0], (height - heights)[happened], atol=1e-7)
        assert (seen["touch"][first, 1] == 0).all()
        assert (seen["touch"][happened & ~first, 1] > 0).all()
        heights[step.rows] = np.nan
        fresh = env.contract.unpack(step.observation)
        assert (fresh["touch"][step.rows] == 0).all()
    assert touches > 16
