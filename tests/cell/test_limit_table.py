"""The requirements of a cell as a table."""

from pathlib import Path

import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.limits import TOUCHED_N, further_limits, limits_of
from robot_rlaas.cell.requirements import Requirements
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env.batch import Outcome
from robot_rlaas.sim.check import check

EVERYTHING = """
extends: peg_insertion
keep_out: []
requirements:
  sustained_force: {force_N: 20, duration_s: 1, rate: 0.01}
  contact_impulse_Ns: {limit: 5, quantile: 0.9, above_N: 10}
  speed_zones:
    zones: [{name: plate, center_mm: [500, 0, 100], size_mm: [300, 300, 200], speed_mm_s: 60}]
    rate: 0.02
  joint_margin: {margin_deg: 20, rate: 0.03}
  untouched: {surfaces: [{name: table}, {name: plate, by: tool}, {name: forearm_link}], rate: 0.04}
"""
GOOD = {"pressed_s": 0.95, "impulse_Ns": 5.0, "zone_speed": 1.0, "into_margin_deg": 0.0, "touch_N": TOUCHED_N}
BAD = {"pressed_s": 1.0, "impulse_Ns": 5.01, "zone_speed": 1.01, "into_margin_deg": 0.01, "touch_N": TOUCHED_N + 0.01}
BASE = {"episode": 0, "success": True, "cycle_time_s": 3.0, "peak_force_N": 30.0, "keep_out": False, "stage": 3}
REST = {"steps": 60, "reward": 1.0, "stage_s": (1.0, 2.0, 3.0), "peak_at_s": 1.0}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cell") / "cell.yaml"
    path.write_text(EVERYTHING)
    return path


def test_a_cell_has_the_four_of_every_cell_and_what_it_asks_for(cell, path: Path) -> None:
    assert [limit.name for limit in limits_of(cell)] == ["success", "cycle_time", "contact_force", "keep_out"]
    assert further_limits(cell) == ()
    further = further_limits(load_cell(str(path)))
    told = {limit.name: (limit.limit, limit.unit, round(limit.rate, 9)) for limit in further}
    assert told == {
        "sustained_force": (0.01, "1", 0.99),
        "contact_impulse": (5.0, "N s", 0.9),
        "speed_zones": (0.02, "1", 0.98),
        "joint_margin": (0.03, "1", 0.97),
        "untouched": (0.04, "1", 0.96),
    }
    assert [limit.name for limit in further if not limit.on_arm] == ["untouched"]


@pytest.mark.parametrize("figure", BAD)
def test_an_episode_breaks_the_limit_that_its_figure_is_about(path: Path, figure: str) -> None:
    limits = limits_of(load_cell(str(path)))
    good, bad = (Outcome(**BASE, **REST, figures=figures) for figures in (GOOD, GOOD | {figure: BAD[figure]}))
    assert all(limit.kept(good) for limit in limits)
    assert [limit.figure for limit in limits if not limit.kept(bad)] == [figure]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"success": False}, "success"),
        ({"cycle_time_s": 6.05}, "cycle_time"),
        ({"peak_force_N": float("nan")}, "contact_force"),
        ({"keep_out": True}, "keep_out"),
    ],
)
def test_the_four_are_broken_by_their_fields(cell, change: dict, name: str) -> None:
    outcome = Outcome(**BASE | change, **REST)
    assert [limit.name for limit in limits_of(cell) if not limit.kept(outcome)] == [name]


def test_a_cell_that_does_not_ask_keeps_its_hash(cell) -> None:
    """What was added to the language since stands in no dump of a cell that does not use it."""
    said = cell.model_dump()["requirements"]
    assert set(said) == {"success", "cycle_time_s", "contact_force_N", "keep_out", "sustained_force"}
    assert Requirements.model_validate(said) == cell.requirements


def test_check_accepts_all_of_them_together(path: Path) -> None:
    """The way down is slow: 50 mm into the plate at 60 instead of 120 mm/s."""
    workcell, findings = check(load_cell(str(path)), path)
    assert workcell.envelope.zone_speed_m_s.tolist() == [0.06]
    assert "the way alone takes 1.0 s of 6 s" in [finding.figure for finding in findings]


def test_the_margin_counts_for_every_pose(tmp_path: Path) -> None:
    path = tmp_path / "cell.yaml"
    path.write_text("extends: peg_insertion\nrequirements: {joint_margin: {margin_deg: 60, rate: 0.01}}\n")
    with pytest.raises(InputError, match=r"elbow_joint would leave its range less the joint margin"):
        check(load_cell(str(path)), path)


def test_a_link_that_is_in_something_at_the_start_is_told(tmp_path: Path) -> None:
    """What stands in the box reaches into the forearm. Without the requirement, links pass through everything."""
    path = tmp_path / "cell.yaml"
    text = "extends: peg_insertion\nkeep_out: [{name: lamp, center_mm: [230, -100, 450], size_mm: [40, 300, 100]}]\n"
    path.write_text(text)
    check(load_cell(str(path)), path)
    path.write_text(f"{text}requirements:\n  untouched: {{surfaces: [{{name: forearm_link}}], rate: 0.01}}\n")
    with pytest.raises(InputError, match=r"cell\.yaml:4: requirements.untouched names 'forearm_link', which at the"):
        check(load_cell(str(path)), path)
