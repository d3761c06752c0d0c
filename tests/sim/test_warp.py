"""MuJoCo Warp against the CPU backend: the same starts, the same setpoints, the same physics."""

import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import warp as wp

from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.cli import main
from robot_rlaas.control.kinematics import Pose, solve, tool_pose
from robot_rlaas.data.lineage import read_lineage
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim import warp as warp_module
from robot_rlaas.sim.backend import Backend
from robot_rlaas.sim.backends import backend_of
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.variation import draw
from robot_rlaas.sim.warp import WarpBackend

COUNT = 8
IDS = np.arange(COUNT)

Make = Callable[..., Backend]


@pytest.fixture(params=["warp:cpu", pytest.param("warp:cuda", marks=pytest.mark.gpu)])
def simulator(request: pytest.FixtureRequest) -> str:
    if request.param == "warp:cuda" and not wp.get_cuda_devices():
        pytest.skip("no CUDA device on this computer")
    return request.param


@pytest.fixture
def make(cell: CellSpec, workcell: Workcell) -> Make:
    return lambda simulator, nsim=COUNT: backend_of(simulator, workcell, cell, nsim)


@pytest.fixture
def starts(cell: CellSpec) -> Draw:
    """With a payload of up to 2 kg, and armatures up to twice their size, as a calibration may say."""
    drawn, rng = draw(cell, Seeds(0, Space.SHOW), IDS), np.random.default_rng(0)
    return drawn._replace(
        payload_kg=rng.uniform(0.0, 2.0, COUNT),
        payload_m=rng.uniform(-0.05, 0.05, (COUNT, 3)),
        armature_scale=rng.uniform(0.5, 2.0, drawn.armature_scale.shape),
    )


@pytest.fixture
def home(cell: CellSpec) -> np.ndarray:
    return np.tile(np.deg2rad(np.array(cell.robot.home_deg)), (COUNT, 1))


def waves(home: np.ndarray, period: int, substeps: int) -> np.ndarray:
    """The setpoints (n, substeps, k) of a control period: every joint swings by 0.08 rad, 0.8 times a second."""
    time_s = 0.005 * (period * substeps + 1 + np.arange(substeps))
    phase = np.arange(home.shape[1])
    swing = np.sin(2 * np.pi * 0.8 * time_s[:, None] + phase) - np.sin(phase)
    return home[:, None] + 0.08 * swing


def played(backend: Backend, home: np.ndarray, periods: int) -> np.ndarray:
    """(periods, n, k + 6) joint angles and wrenches of the waves."""
    steps = (backend.step(waves(home, i, backend.substeps)) for i in range(periods))
    return np.array([np.concatenate([step.q_rad, step.wrench], axis=1) for step in steps])


def test_free_motion_agrees_with_the_cpu(make: Make, simulator: str, workcell, cell, starts, home) -> None:
    """Within 0.1 mm over a second, with every gain, friction, delay, armature and payload its own."""
    one, other = make("cpu"), make(simulator)
    at_rest = [backend.reset(IDS, starts, home) for backend in (one, other)]
    np.testing.assert_array_equal(at_rest[0].wrench, at_rest[1].wrench)
    a, b = (played(backend, home, round(1 / cell.period_s)) for backend in (one, other))
    tips = [tool_pose(workcell.chain, x[:, :, :6].reshape(-1, 6)).p for x in (a, b)]
    assert np.linalg.norm(tips[0] - tips[1], axis=1).max() < 1e-4
    assert np.ptp(tips[0], axis=0).max() > 0.05
    np.testing.assert_allclose(a[:, :, 6:], b[:, :, 6:], atol=0.02)
    assert np.ptp(a[-1, :, 8]) > 5.0  # the payloads weigh


def test_the_delay_is_each_simulations_own(make: Make, cell, starts, home) -> None:
    """Two arms, one 40 ms late: it lags by that much, in the first episode and after a reset."""
    backend = make("warp:cpu", 2)
    two = starts.take(np.zeros(2, int))._replace(delay_s=np.array([0.0, 0.04]))
    for _ in range(2):
        backend.reset(np.arange(2), two, home[:2])
        path = []
        for i in range(12):
            target = home[:2, None] + 0.02 * np.minimum(1.0, (i * 10 + np.arange(10)) / 40)[None, :, None]
            path.append(backend.step(target).q_rad[:, 0])
        moved = np.array(path) - home[:2, 0]
        lag = np.interp(0.01, moved[:, 1], np.arange(12)) - np.interp(0.01, moved[:, 0], np.arange(12))
        assert abs(lag * cell.period_s - 0.04) < 0.006


@pytest.mark.parametrize("made_elsewhere", [False, True])
def test_resets_touch_nobody_else_and_begin_afresh(
    make: Make, simulator: str, starts, home, made_elsewhere: bool
) -> None:
    """To the bit, in another backend with the same starts too."""
    one, other = make(simulator), make(simulator)
    for backend in (one, other):
        backend.reset(IDS, starts, home)
    first = played(one, home, 6)
    np.testing.assert_array_equal(first, played(other, home, 6))
    rows = np.array([1, 5])
    if made_elsewhere:
        spare, there = one.spare(3), np.array([0, 2])
        spare.reset(there, starts.take(rows), home[rows])
        one.adopt(rows, spare.snapshot(there, starts.take(rows)))
    else:
        one.reset(rows, starts.take(rows), home[rows])
    again, on = played(one, home, 6), played(other, home, 6)
    np.testing.assert_array_equal(again[:, rows], first[:, rows])
    others = np.setdiff1d(IDS, rows)
    np.testing.assert_array_equal(again[:, others], on[:, others])


def test_a_peg_pressed_on_the_plate_feels_the_same(make: Make, simulator: str, workcell, cell, home) -> None:
    """Pressed 3 mm into the plate beside its hole, and dragged along it."""
    drawn = draw(cell, Seeds(1, Space.SHOW), IDS)
    starts = drawn._replace(hand_rad=0.2 * drawn.hand_rad, delay_s=0.0 * drawn.delay_s)
    top = np.array(cell.task.plate.top_mm) / 1000 + np.pad(starts.plate_xy_m, ((0, 0), (0, 1)))
    R = tool_pose(workcell.chain, home).R

    def at(x_m: float, z_m: float) -> np.ndarray:
        return solve(workcell.chain, Pose(R, top + np.array([x_m, 0.0, z_m])), home)[0]

    above, pressed, dragged = at(0.022, 0.003), at(0.022, -0.003), at(0.026, -0.003)
    felt = []
    for name in ("cpu", simulator):
        backend = make(name)
        backend.reset(IDS, starts, above)
        way = [pressed] * 10 + [dragged] * 6
        felt.append([backend.step(np.repeat(q[:, None], backend.substeps, axis=1)) for q in way])
    for one, other in zip(*(felts[8:] for felts in felt)):
        np.testing.assert_allclose(one.contact_N, other.contact_N, rtol=0.01)
        np.testing.assert_allclose(one.wrench[:, :3], other.wrench[:, :3], atol=0.01 * one.contact_N.max())
    assert min(one.contact_N.min() for one in felt[0][8:]) > 5.0


def test_what_diverges_is_flagged_alone(make: Make, starts, home) -> None:
    """Servos that push where they should brake; the next start of that row is a sound one."""
    backend = make("warp:cpu")
    scale = starts.damping_scale.copy()
    scale[3] = -1e4
    backend.reset(IDS, starts._replace(damping_scale=scale), home)
    bad = np.array([backend.step(waves(home, i, backend.substeps)).bad for i in range(8)])
    np.testing.assert_array_equal(bad.any(axis=0), IDS == 3)
    backend.reset(IDS, starts, home)
    after = played(backend, home, 4)
    fresh = make("warp:cpu")
    fresh.reset(IDS, starts, home)
    np.testing.assert_array_equal(after, played(fresh, home, 4))


def test_torch_sees_the_devices_memory(make: Make, starts, home) -> None:
    backend = make("warp:cpu")
    assert isinstance(backend, WarpBackend)
    backend.reset(IDS, starts, home)
    tensors = backend.tensors
    for i in range(2):
        physics = backend.step(waves(home, i, backend.substeps))
        np.testing.assert_array_equal(tensors.qpos.numpy()[:, :6], physics.q_rad)
        np.testing.assert_allclose(tensors.sensordata.numpy()[:, :, :6].mean(axis=0), physics.wrench, atol=1e-4)
        assert tensors.qvel.abs().max() > 0.0


def test_too_many_constraints_are_an_error(make: Make, monkeypatch, starts, home) -> None:
    monkeypatch.setattr(warp_module, "CONSTRAINTS", 4)
    backend = make("warp:cpu")
    backend.reset(IDS, starts, home)
    with pytest.raises(StageError, match=r"4 constraint rows per simulation: .*NEFC"):
        backend.step(waves(home, 0, backend.substeps))


def test_the_environment_runs_on_it() -> None:
    """The same task, the same expert, the same starts: the same episodes, up to single precision."""
    cell, ended = Cell.load("peg_insertion"), []
    for simulator in ("cpu", "warp:cpu"):
        env = cell.env(16, Seeds(0, Space.SHOW), simulator=simulator)
        expert, outcomes = expert_of(cell.spec, env.contract, env.nsim), {}
        observation = env.reset()
        while len(outcomes) < env.nsim:
            step = env.step(expert.act(observation))
            expert.reset(step.rows)
            outcomes |= {o.episode: o for o in step.outcomes if o.episode < env.nsim}
            observation = step.observation
        ended.append([outcomes[i] for i in range(env.nsim)])
    same = [one.success == other.success and abs(one.steps - other.steps) <= 1 for one, other in zip(*ended)]
    assert sum(same) >= 15
    assert sum(o.success for o in ended[1]) >= 15


def test_demonstrations_and_trainings_are_asked_to_run_on_it(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    demos, out = tmp_path / "demos", tmp_path / "out"
    generate, train = ("demos", "generate", "peg_insertion"), ("train", "peg_insertion", "--demos", str(demos))
    assert main([*generate, "--episodes", "1", "--simulator", "warp:cpu", "--out", str(demos)]) == 0
    assert read_lineage(demos).made.settings["simulator"] == "warp:cpu"
    capfd.readouterr()
    wrong = {"warp:cuda:99": "Warp finds no device 'cuda:99'", "gpu": "the simulator is 'gpu'; allowed are"}
    for command, name in product((generate, train), wrong):
        assert main([*command, "--simulator", name, "--out", str(out)]) == 2
        told = capfd.readouterr().err
        assert wrong[name] in told
        assert "fix: " in told
        assert not out.exists()
    assert main([*train, "--simulator", "warp:cpu", "--sweep", "1", "--out", str(out)]) == 2
    assert "--simulator: not together with --sweep" in capfd.readouterr().err


def test_nothing_stands_in_for_what_is_missing(make: Make, monkeypatch) -> None:
    for name in ("warp", "gpu", "warp:gpu", "cuda", "warp:cuda:x"):
        with pytest.raises(InputError, match=f"the simulator is '{name}'; allowed are 'cpu', 'warp:cuda'"):
            make(name)
    with pytest.raises(InputError, match="Warp finds no device 'cuda:99' on this computer; it finds cpu"):
        make("warp:cuda:99")
    monkeypatch.setitem(sys.modules, "robot_rlaas.sim.warp", None)
    with pytest.raises(InputError, match=r"needs MuJoCo Warp.*\n  fix: pip install 'robot_rlaas\[warp\]'"):
        make("warp:cpu")


def test_what_warp_cannot_vary_is_refused(make: Make, starts, home) -> None:
    """A field that a start gives every simulation for itself and that Warp has only once."""
    backend = make("warp:cpu")
    assert isinstance(backend, WarpBackend)
    backend._host.batch.expand("geom_condim")
    with pytest.raises(InputError, match="the cell 'peg_insertion': it cannot vary geom_condim from simulation to"):
        backend.reset(IDS, starts, home)
