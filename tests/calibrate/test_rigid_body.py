"""The regressor against MuJoCo's inverse dynamics."""

import mujoco
import numpy as np
import pytest

from robot_rlaas.assets import data_dir
from robot_rlaas.calibrate.drives.rigid_body import from_shape, inertial_parameters, regressor, shape_slope, to_shape
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.sim.model import serial_chain


@pytest.fixture(params=["ur5e", "ur10e"])
def arm(request):
    spec = mujoco.MjSpec.from_file(str(data_dir("sim_assets") / "arms" / f"{request.param}.xml"))
    for body in spec.bodies:
        body.gravcomp = 0.0
    for joint in spec.joints:
        joint.armature = 0.0
    model, joints = spec.compile(), load_hardware(request.param).joints
    return model, serial_chain(model, joints, "flange"), inertial_parameters(model, joints)


def test_torques_are_those_of_inverse_dynamics(arm):
    model, chain, parameters = arm
    q, v, a = np.random.default_rng(0).uniform(-3, 3, (3, 20, 6))
    torque = regressor(chain, q, v, a) @ parameters.ravel()
    data = mujoco.MjData(model)
    for i in range(20):
        data.qpos[:], data.qvel[:], data.qacc[:] = q[i], v[i], a[i]
        mujoco.mj_inverse(model, data)
        np.testing.assert_allclose(torque[i], data.qfrc_inverse, atol=1e-9)


def test_36_combinations_of_parameters_show_in_six_joints(arm):
    q, v, a = np.random.default_rng(1).uniform(-3, 3, (3, 200, 6))
    assert np.linalg.matrix_rank(regressor(arm[1], q, v, a).reshape(1200, 60), tol=1e-6) == 36


def test_shapes_are_another_way_to_say_the_same(arm):
    parameters = arm[2]
    np.testing.assert_allclose(from_shape(to_shape(parameters)), parameters, atol=1e-12)


def test_a_link_that_no_matter_makes_is_refused(arm):
    broken = arm[2].copy()
    broken[1, 9] *= 5  # an inertia about z larger than those about x and y together
    with pytest.raises(ValueError, match="distribution of its mass"):
        to_shape(broken)


def test_any_shape_is_made_of_matter():
    shape = np.random.default_rng(2).normal(0, 1, (50, 10))
    mass, _moment, inertia = np.split(from_shape(shape), [1, 4], axis=1)
    full = np.zeros((50, 3, 3))
    full[:, *np.triu_indices(3)] = full[:, *np.triu_indices(3)[::-1]] = inertia
    moments = np.linalg.eigvalsh(full)
    assert (mass > 0).all()
    assert (moments > 0).all()
    assert (moments[:, 2] < moments[:, 0] + moments[:, 1]).all()


def test_the_slope_of_a_shape(arm):
    shape = to_shape(arm[2])
    step = 1e-4 * np.random.default_rng(3).normal(size=shape.shape)
    moved = from_shape(shape + step) - from_shape(shape - step)
    np.testing.assert_allclose(moved, 2 * np.einsum("npq,nq->np", shape_slope(shape), step), rtol=1e-4, atol=1e-9)
