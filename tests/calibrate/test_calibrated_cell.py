"""A cell that names a calibration: what is drawn, what is simulated, what is refused."""

import numpy as np
import pytest
from hidden_plant import RATE_HZ, follow, known

from robot_rlaas.calibrate.servo.calibration import save
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, cell_path, load_cell
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.model import build
from robot_rlaas.sim.variation import draw

SEEDS, EPISODES = Seeds(0, Space.TRAIN), np.arange(200)
DYNAMICS = {
    *("damping_scale", "joint_friction_Nm", "gain_scale", "delay_s"),
    *("armature_scale", "payload_kg", "payload_m"),
}
LOADED = {"payload_kg": 1.2, "payload_x_m": 0.03, "payload_y_m": -0.02, "payload_z_m": 0.05, "command_delay_s": 0.0123}


@pytest.fixture(scope="module")
def loaded(hidden) -> Plant:
    return hidden.model_copy(update={**LOADED, "joint_noise_rad": 0.0})


def with_calibration(cell: CellSpec, found) -> CellSpec:
    return cell.model_copy(update={"calibration": found})


def test_only_the_dynamics_are_drawn_differently(cell, workcell, loaded):
    plain = draw(cell, SEEDS, EPISODES)
    centred = draw(with_calibration(cell, known(workcell, loaded, 0.001)), SEEDS, EPISODES)
    for name in Draw._fields:
        same = np.array_equal(getattr(plain, name), getattr(centred, name))
        assert same == (name not in DYNAMICS), name
    np.testing.assert_allclose(centred.gain_scale.mean(axis=0), loaded.servo_gain_scale, atol=3e-4)
    np.testing.assert_allclose(centred.payload_m.std(axis=0), 0.001, rtol=0.2)
    assert centred.payload_kg.shape == centred.delay_s.shape == (200,)


def test_an_episode_is_the_same_whatever_is_drawn_with_it(cell, workcell, loaded):
    calibrated = with_calibration(cell, known(workcell, loaded, 0.01))
    many, alone = draw(calibrated, SEEDS, EPISODES), draw(calibrated, SEEDS, np.array([7]))
    for name in Draw._fields:
        np.testing.assert_array_equal(getattr(many, name)[7], getattr(alone, name)[0], err_msg=name)


def test_ratios_stay_and_physics_ends(cell, workcell, loaded):
    found = known(workcell, loaded.model_copy(update={"payload_kg": 0.0}), 0.1)
    names = [e.name for e in found.estimates]
    covariance = np.array(found.covariance)
    gain, damping = names.index("servo_gain_scale"), names.index("joint_damping_scale")
    covariance[gain, damping] = covariance[damping, gain] = 0.01 * 0.9999
    calibrated = with_calibration(cell, found.model_copy(update={"covariance": tuple(map(tuple, covariance.tolist()))}))
    drawn = draw(calibrated, SEEDS, EPISODES)
    assert np.std(drawn.gain_scale[:, 0]) > 0.08
    assert np.std(drawn.gain_scale[:, 0] - drawn.damping_scale[:, 0]) < 0.003
    assert drawn.payload_kg.min() >= 0.0
    assert drawn.delay_s.min() >= 0.0
    assert drawn.joint_friction_Nm.min() >= 0.0


def test_a_held_out_factor_is_drawn_by_hand(cell, workcell, loaded):
    wide = cell.variation.model_copy(update={"servo_gain_scale": (0.7, 1.3)})
    calibrated = with_calibration(cell.model_copy(update={"variation": wide}), known(workcell, loaded))
    drawn = draw(calibrated, SEEDS, EPISODES, {"servo_gain_scale": (0.8, 1.2)})
    assert np.all((drawn.gain_scale < 0.8) | (drawn.gain_scale > 1.2))
    np.testing.assert_allclose(drawn.damping_scale, np.tile(loaded.joint_damping_scale, (200, 1)))


def test_the_simulation_is_the_plant(cell, workcell, loaded, motions):
    """The batched simulation of a calibrated cell against plain steps of the plant, with nothing in the way."""
    calibrated = with_calibration(cell, known(workcell, loaded))
    station = build(calibrated)
    backend = CpuBackend(station, calibrated, 2)
    setpoints = motions[1].setpoints(RATE_HZ)[:400]
    drawn = draw(calibrated, SEEDS, np.arange(2))._replace(hand_m=np.zeros((2, 3)), hand_rad=np.zeros((2, 3)))
    backend.reset(np.arange(2), drawn, np.repeat(setpoints[:1], 2, axis=0))
    fine = np.repeat(setpoints, 2, axis=0).reshape(-1, backend.substeps, 6)  # 100 Hz to 200 Hz, by control period
    simulated = [backend.step(np.repeat(period[None], 2, axis=0)).q_rad[0] for period in fine]
    plant = follow(workcell, loaded, setpoints, np.random.default_rng(0)).q_rad[5::5]
    np.testing.assert_allclose(np.array(simulated[:-1]), plant, atol=1e-9)


@pytest.fixture
def named(tmp_path, workcell, loaded):
    """A cell file beside its calibration."""
    (tmp_path / "found").mkdir()
    save(known(workcell, loaded, 0.01), tmp_path / "found" / "calibration.yaml")
    file = tmp_path / "cell.yaml"
    file.write_text(cell_path("peg_insertion").read_text() + "calibration: found/calibration.yaml\n")
    return file


def test_the_content_counts_not_the_path(cell, named, workcell, loaded):
    calibrated = load_cell(str(named))
    assert calibrated.calibration == known(workcell, loaded, 0.01)
    assert calibrated.hash != cell.hash
    save(known(workcell, loaded, 0.02), named.parent / "found" / "calibration.yaml")
    assert load_cell(str(named)).hash != calibrated.hash
    assert "calibration" not in cell.model_dump()
    again = CellSpec.model_validate_json(calibrated.model_dump_json())  # as it travels in policies and bundles
    assert again == calibrated
    assert again.hash == calibrated.hash


def test_a_calibration_that_is_not_there_is_refused(named):
    (named.parent / "found" / "calibration.yaml").unlink()
    with pytest.raises(InputError, match=r"(?s)calibration\.yaml: there is no such calibration.*fix: run `rlaas calib"):
        load_cell(str(named))


def test_a_calibration_that_was_not_accepted_is_refused(named, workcell, loaded):
    refused = known(workcell, loaded).model_copy(update={"accepted": False, "reason": "it did not settle"})
    save(refused, named.parent / "found" / "calibration.yaml")
    message = r"(?s)calibration\.yaml: .*not accepted: it did not settle.*fix: run `rlaas calibrate arm` again"
    with pytest.raises(InputError, match=message):
        load_cell(str(named))


def test_an_unknown_quantity_is_refused(named, workcell, loaded):
    found = known(workcell, loaded)
    first = found.estimates[0].model_copy(update={"name": "backlash_rad"})
    changed = found.model_copy(update={"estimates": (first, *found.estimates[1:])})
    save(changed, named.parent / "found" / "calibration.yaml")
    with pytest.raises(InputError, match="cannot take over backlash_rad; it knows command_delay_s"):
        load_cell(str(named))


def test_another_arms_calibration_is_refused(cell, workcell, loaded):
    found = known(workcell, loaded)
    heldout = found.heldout.model_copy(update={"joints": tuple(f"other_{joint}" for joint in found.heldout.joints)})
    with pytest.raises(InputError, match=r"names a calibration of joints \['other_shoulder_pan"):
        build(with_calibration(cell, found.model_copy(update={"heldout": heldout})))
