"""A cell that names a contact file: what is drawn, what is refused, and whether the simulation foretells the arm."""

import mujoco
import numpy as np
import pytest
import yaml

from robot_rlaas.cell.contact import ContactReport, Learned
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, cell_path, load_cell
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import DOWN, matrix_from_vector, rotate_back
from robot_rlaas.env.insertion.task import hole_frame, part_tip, task_frame
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.learned import offset_m
from robot_rlaas.sim.model import build
from robot_rlaas.sim.variation import draw

SEEDS, EPISODES = Seeds(0, Space.TRAIN), np.arange(400)
FOUND = {
    "friction": (0.15, 0.02),
    "offset_x_mm": (-1.5, 0.4),
    "offset_y_mm": (0.8, 0.6),
    "plate_x_mm": (4.0, 1.0),
    "plate_y_mm": (-3.0, 1.0),
    "plate_yaw_deg": (2.0, 0.5),
    "plate_z_mm": (2.5, 0.2),
    "plate_tilt_x_deg": (0.8, 0.1),
    "plate_tilt_y_deg": (-0.5, 0.1),
}
HIDING = ("offset", "plate_z")
DRAWN = {"friction", "bias_xy_m", "hand_m", "plate_xy_m", "plate_yaw_rad", "plate_z_m", "plate_tilt_rad"}


def report(accepted: bool = True, hidden: float = 0.0, cell: str = "peg_insertion") -> ContactReport:
    learned = tuple(
        Learned.model_validate(
            {
                **{"name": name, "value": value, "deviation": deviation, "parts": 50},
                **{"hidden": hidden * name.startswith(HIDING), "accepted": accepted, "reason": "made up"},
            }
        )
        for name, (value, deviation) in FOUND.items()
    )
    return ContactReport(
        rlaas_contact=1,
        cell=cell,
        cell_hash="0" * 64,
        date="2026-01-01",
        logs=(),
        attempts=50,
        inserted=50,
        figures=(),
        findings=(),
        learned=learned,
    )


def with_contact(cell: CellSpec, **how) -> CellSpec:
    return cell.model_copy(update={"contact": report(**how)})


def length_m(cell: CellSpec) -> float:
    return cell.task.part.length_mm / 1000


def test_only_what_was_learned_is_drawn_differently(cell) -> None:
    plain, learned = (draw(one, SEEDS, EPISODES) for one in (cell, with_contact(cell)))
    for name in Draw._fields:
        assert np.array_equal(getattr(plain, name), getattr(learned, name)) == (name not in DRAWN), name
    np.testing.assert_array_equal(plain.hand_m[:, 2], learned.hand_m[:, 2])
    offset = 1000 * offset_m(learned, length_m(cell))
    np.testing.assert_allclose(offset.mean(axis=0), [-1.5, 0.8], atol=0.1)
    np.testing.assert_allclose(offset.std(axis=0), [0.4, 0.6], rtol=0.12)
    assert learned.friction.mean() == pytest.approx(0.15, abs=0.004)
    assert learned.friction.std() == pytest.approx(0.02, rel=0.12)


def test_an_offset_is_where_the_tip_has_to_be_led(cell) -> None:
    """Against the task's own kinematics: a tool led to the hole as seen plus the offset is on the hole."""
    one = draw(with_contact(cell), SEEDS, np.arange(20))
    seen = task_frame(cell, one.plate_xy_m + one.bias_xy_m, one.plate_yaw_rad + one.bias_yaw_rad)
    offset = np.concatenate([offset_m(one, length_m(cell)), np.zeros((20, 1))], axis=1)
    led = Pose(seen.R @ DOWN, seen.p + np.einsum("nij,nj->ni", seen.R, offset))
    tip = part_tip(led, one.hand_m, matrix_from_vector(one.hand_rad), length_m(cell))
    hole = task_frame(cell, one.plate_xy_m, one.plate_yaw_rad)
    np.testing.assert_allclose(rotate_back(hole.R, tip - hole.p)[:, :2], 0.0, atol=1e-12)


def test_camera_and_hand_share_by_their_ranges(cell) -> None:
    """Both move by half of what their sum lacks; a hand that is known leaves it all to the camera."""
    one = draw(with_contact(cell), SEEDS, EPISODES)
    np.testing.assert_allclose(1000 * one.bias_xy_m.mean(axis=0), [0.75, -0.4], atol=0.12)
    np.testing.assert_allclose(1000 * one.hand_m[:, :2].mean(axis=0), [0.75, 0.4], atol=0.12)
    assert np.all(one.bias_xy_m.std(axis=0) > 0.0004)  # the log does not tell them apart
    known = {"hand_offset_mm": (0.0, 0.0), "hand_offset_deg": (0.0, 0.0)}
    steady = cell.model_copy(update={"variation": cell.variation.model_copy(update=known)})
    one = draw(with_contact(steady), SEEDS, EPISODES)
    np.testing.assert_array_equal(one.hand_m, 0.0)
    np.testing.assert_allclose(1000 * one.bias_xy_m.mean(axis=0), [1.5, -0.8], atol=0.12)


def test_plates_lie_about_the_middle_that_was_found(cell) -> None:
    plain, learned = (draw(one, SEEDS, EPISODES) for one in (cell, with_contact(cell)))
    moved = 1000 * (learned.plate_xy_m - plain.plate_xy_m)
    np.testing.assert_allclose(moved.mean(axis=0), [4.0, -3.0], atol=0.05)
    np.testing.assert_allclose(moved.std(axis=0), 1.0 / np.sqrt(50), rtol=0.15)  # of the mean, not of the parts


def test_plates_are_as_high_and_as_level_as_they_were_found(cell) -> None:
    plain, learned = (draw(one, SEEDS, EPISODES) for one in (cell, with_contact(cell, hidden=0.6)))
    assert not plain.plate_z_m.any()
    assert not plain.plate_tilt_rad.any()
    z_mm, tilt_deg = 1000 * learned.plate_z_m, np.rad2deg(learned.plate_tilt_rad)
    assert z_mm.mean() == pytest.approx(2.5, abs=0.06)
    assert z_mm.std() == pytest.approx(np.hypot(0.2 / np.sqrt(50), 0.6 / np.sqrt(3)), rel=0.1)
    np.testing.assert_allclose(tilt_deg.mean(axis=0), [0.8, -0.5], atol=0.003)
    np.testing.assert_allclose(tilt_deg.std(axis=0), 0.1 / np.sqrt(50), rtol=0.15)


def test_no_camera_sees_how_high_and_level_a_plate_is(cell) -> None:
    """The simulated plate is where the hole's true frame is, and what a policy is told is not."""
    askew = with_contact(cell)
    env = Cell(askew, build(askew), cell_path("peg_insertion")).env(8, SEEDS)
    env.reset()
    hole, (p, quat) = hole_frame(askew, env.draw), env.backend.plate_pose(np.arange(8))
    np.testing.assert_allclose(p, hole.p, atol=1e-12)
    R = np.zeros((8, 9))
    for i in range(8):
        mujoco.mju_quat2Mat(R[i], quat[i])
    np.testing.assert_allclose(R.reshape(8, 3, 3), hole.R, atol=1e-12)
    assert np.all(np.abs(hole.p[:, 2] - 0.0625) < 3e-4)
    np.testing.assert_array_equal(env.task.frame.p[:, 2], 0.06)
    np.testing.assert_array_equal(env.task.frame.R[:, 2], np.tile([0.0, 0.0, 1.0], (8, 1)))


def test_a_tilt_about_x_lifts_what_lies_in_y(cell) -> None:
    """And one about y lowers what lies in x, whichever way the plate is turned."""
    one = draw(cell, SEEDS, np.arange(3))
    one = one._replace(plate_z_m=np.full(3, 0.002), plate_tilt_rad=np.deg2rad(np.tile([1.0, 2.0], (3, 1))))
    hole = hole_frame(cell, one)
    rise = -hole.R[:, :2, 2] / hole.R[:, 2:, 2]
    np.testing.assert_allclose(rise, np.tile([-np.tan(np.deg2rad(2.0)), np.tan(np.deg2rad(1.0))], (3, 1)), rtol=2e-3)
    np.testing.assert_allclose(hole.p[:, 2], 0.062)


def test_what_the_clearance_hides_is_added(cell) -> None:
    offset = 1000 * offset_m(draw(with_contact(cell, hidden=0.9), SEEDS, EPISODES), length_m(cell))
    np.testing.assert_allclose(offset.std(axis=0), np.hypot([0.4, 0.6], 0.9 / np.sqrt(3)), rtol=0.12)
    twice = with_contact(cell, hidden=0.9).contact.wider(2.0)  # as training draws it
    offset = 1000 * offset_m(draw(cell.model_copy(update={"contact": twice}), SEEDS, EPISODES), length_m(cell))
    np.testing.assert_allclose(offset.std(axis=0), np.hypot([0.8, 1.2], 1.8 / np.sqrt(3)), rtol=0.12)


def test_an_episode_is_the_same_whatever_is_drawn_with_it(cell) -> None:
    many, alone = (draw(with_contact(cell), SEEDS, episodes) for episodes in (EPISODES, np.array([7])))
    for name in Draw._fields:
        np.testing.assert_array_equal(getattr(many, name)[7], getattr(alone, name)[0], err_msg=name)


def test_a_held_out_factor_is_drawn_by_hand(cell) -> None:
    wide = cell.variation.model_copy(update={"friction": (0.1, 0.5), "hand_offset_mm": (-1.5, 1.5)})
    both = cell.model_copy(update={"variation": wide, "contact": report()})
    drawn = draw(both, SEEDS, EPISODES, {"friction": (0.2, 0.4), "hand_offset_mm": (-1.0, 1.0)})
    assert np.all((drawn.friction < 0.2) | (drawn.friction > 0.4))
    assert np.all(np.abs(drawn.hand_m) > 0.001)


@pytest.fixture
def named(tmp_path):
    """A cell file beside its contact file."""
    write(tmp_path, report())
    file = tmp_path / "cell.yaml"
    file.write_text(cell_path("peg_insertion").read_text() + "contact: found/contact.yaml\n")
    return file


def write(folder, content: ContactReport) -> None:
    (folder / "found").mkdir(exist_ok=True)
    (folder / "found" / "contact.yaml").write_text(yaml.safe_dump(content.model_dump(mode="json")))


def test_the_content_counts_not_the_path(cell, named) -> None:
    learned = load_cell(str(named))
    assert learned.contact == report()
    assert learned.hash != cell.hash
    assert "contact" not in cell.model_dump()
    assert CellSpec.model_validate_json(learned.model_dump_json()).hash == learned.hash  # as it travels in bundles
    write(named.parent, report(hidden=0.5))
    assert load_cell(str(named)).hash != learned.hash


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            report(accepted=False),
            r"nothing in this file may replace a range: made up\n  fix: run `rlaas cal",
        ),
        (report(cell="other"), "this file is of the cell 'other', not of 'peg_insertion'"),
        (report().model_copy(update={"learned": ()}), "it holds no estimates"),
    ],
)
def test_what_was_not_accepted_is_refused(named, content, message) -> None:
    write(named.parent, content)
    with pytest.raises(InputError, match=message):
        load_cell(str(named))


def test_a_contact_file_that_is_not_there_is_refused(named) -> None:
    (named.parent / "found" / "contact.yaml").unlink()
    with pytest.raises(InputError, match=r"(?s)there is no such contact; its path is relative.*fix: run `rlaas cal"):
        load_cell(str(named))
