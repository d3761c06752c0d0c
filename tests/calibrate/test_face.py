"""What pressed spots tell, on presses that are made up and whose answers are known."""

import numpy as np
import pytest

from robot_rlaas.calibrate.contact.face import fit_face
from robot_rlaas.calibrate.contact.pressed import learn_pressed, open_questions, pressed_figures
from robot_rlaas.calibrate.contact.presses import PressLog, Rest, Spot
from robot_rlaas.cell.contact import ContactReport
from robot_rlaas.cell.errors import InputError

HOLE = np.array([0.5, 0.0, 0.06])
RING = 0.04 * np.array([(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (1.0, 0.0), (-1.0, 0.0)])
LINE = np.array([(0.04, 0.04), (0.02, 0.02), (-0.02, -0.02), (-0.04, -0.04), (0.03, 0.03), (-0.03, -0.03)])
NOISE = np.repeat([1.0, 0.05], 3)
LOADS_N = (8.0, 5.0)


def made_up(
    at_m: np.ndarray = RING,
    z_mm: float = 0.0,
    tilt_deg: tuple[float, float] = (0.0, 0.0),
    give_mm_N: float = 0.0,
    friction: float = 0.3,
    noise_mm: float = 0.0,
    seed: int = 0,
) -> PressLog:
    """A press of the plane that passes over HOLE at this height, as tilted, which gives under a load."""
    rng = np.random.default_rng(seed)
    x, y = np.tan(np.deg2rad(tilt_deg))
    normal = np.array([y, -x, 1.0]) / np.sqrt(1 + x * x + y * y)
    along = np.cross(normal, [0.0, 1.0, 0.0])
    along /= np.linalg.norm(along)
    spots = []
    for place in at_m:
        face = HOLE[2] + z_mm / 1000 + x * place[1] - y * place[0]
        rests = tuple(
            Rest(
                np.array([*(HOLE[:2] + place), face - give_mm_N * load / 1000 + noise_mm / 1000 * rng.normal()]),
                np.array([0.0, 0.0, load]),
            )
            for load in LOADS_N
        )
        slides = np.array([4.8 * (normal + sign * friction * along) for sign in (-1, 1)])
        spots.append(Spot(rests, slides, NOISE * rng.standard_normal((80, 6))))
    return PressLog(HOLE, tuple(spots))


def test_a_plane_is_found_as_it_is() -> None:
    face = fit_face(made_up(z_mm=1.5, tilt_deg=(0.6, -0.9), give_mm_N=0.01))
    assert face.height_m.value == pytest.approx(0.0615, abs=1e-8)
    assert [tilt.value for tilt in face.tilt_deg] == pytest.approx([0.6, -0.9], abs=2e-4)
    assert face.give_m_N.value == pytest.approx(1e-5)
    assert face.friction is not None
    assert face.friction.value == pytest.approx(0.3, abs=1e-4)  # along the tilted face, not along the base's


def test_intervals_hold_what_is_true_in_95_of_100() -> None:
    inside = []
    for seed in range(200):
        face = fit_face(made_up(z_mm=1.0, tilt_deg=(0.2, 0.1), give_mm_N=0.01, noise_mm=0.02, seed=seed))
        told = (face.height_m, *face.tilt_deg, face.give_m_N)
        inside.append([abs(one.value - true) < one.half_95 for one, true in zip(told, (0.061, 0.2, 0.1, 1e-5))])
    share = np.mean(inside, axis=0)
    assert np.all(share > 0.9), share
    assert np.all(share < 1.0), share


def test_spots_on_a_line_do_not_tell_the_tilt_across_it(cell) -> None:
    face = fit_face(made_up(LINE, tilt_deg=(0.5, -0.5), noise_mm=0.01))
    assert not face.tilt_deg
    assert face.line_deg == pytest.approx(45.0, abs=0.1)
    assert face.rise_deg.value == pytest.approx(0.5 * np.sqrt(2), abs=0.05)
    words = "\n".join(open_questions(cell, face))
    assert "lie on a line, 45 deg from the base's x: along it the face rises by 0.7" in words
    assert "press with a thinner part" in words
    assert not [one for one in learn_pressed(cell, face) if one.name.startswith("plate_tilt")]


def test_three_spots_are_no_plane_with_an_interval() -> None:
    with pytest.raises(InputError, match=r"3 spots were pressed; at least 4(?s:.*)rlaas calibrate press"):
        fit_face(made_up(RING[:3]))


def test_stiffness_is_told_only_where_it_shows(cell) -> None:
    soft, hard = made_up(give_mm_N=0.02, noise_mm=0.002), made_up(give_mm_N=0.001, noise_mm=0.02)
    (told,) = [f for f in pressed_figures(cell, soft, fit_face(soft)) if f.name.startswith("stiffness")]
    assert told.lower_95 < 50 < told.upper_95
    assert told.allowed is None
    assert not [f for f in pressed_figures(cell, hard, fit_face(hard)) if f.name.startswith("stiffness")]
    assert any("lost in the noise of the joints: more than" in text for text in open_questions(cell, fit_face(hard)))
    assert not any("lost in the noise" in text for text in open_questions(cell, fit_face(soft)))


def accepted(cell, **how) -> dict[str, bool]:
    return {one.name: one.accepted for one in learn_pressed(cell, fit_face(made_up(noise_mm=0.01, **how)))}


def test_what_the_hand_explains_is_not_taken_for_the_plate(cell) -> None:
    """Its part may stand out by 1 mm either way."""
    assert not any(accepted(cell, z_mm=1.2, friction=0.38).values())
    assert accepted(cell, z_mm=2.5)["plate_z_mm"]
    assert accepted(cell, tilt_deg=(0.4, 0.0)) == {
        "plate_z_mm": False,
        "plate_tilt_x_deg": True,
        "plate_tilt_y_deg": True,
        "friction": False,
    }
    assert accepted(cell, friction=0.55)["friction"]
    known = {"hand_offset_mm": (0.0, 0.0), "hand_offset_deg": (0.0, 0.0)}
    steady = cell.model_copy(update={"variation": cell.variation.model_copy(update=known)})
    assert accepted(steady, z_mm=0.6)["plate_z_mm"]


def test_one_part_does_not_narrow_how_parts_differ(cell) -> None:
    (friction,) = [one for one in learn_pressed(cell, fit_face(made_up(friction=0.6))) if one.name == "friction"]
    assert friction.value == pytest.approx(0.6, abs=1e-3)
    assert friction.deviation == pytest.approx(0.2 / np.sqrt(12), rel=0.1)
    assert "one part" in friction.reason


def test_a_cell_that_knows_it_is_not_told_again(cell) -> None:
    learned = learn_pressed(cell, fit_face(made_up(z_mm=2.5, tilt_deg=(0.8, 0.0), friction=0.6, noise_mm=0.01)))
    about = {"rlaas_contact": 1, "cell": cell.name, "cell_hash": "0" * 64, "date": "", "logs": (), "figures": ()}
    report = ContactReport.model_validate(
        {**about, "attempts": 0, "inserted": 0, "pressed": 6, "findings": (), "learned": learned}
    )
    known = cell.model_copy(update={"contact": report})
    log = made_up(z_mm=2.52, tilt_deg=(0.78, 0.02), friction=0.61, noise_mm=0.01, seed=1)
    face = fit_face(log)
    assert all(figure.within for figure in pressed_figures(known, log, face))
    assert not any(one.accepted for one in learn_pressed(known, face))
    assert sum(not figure.within for figure in pressed_figures(cell, log, face)) == 3  # height, tilt about x, friction
