"""A real press: virtual arm, supervisor, recorder and press as processes of their own, over loopback."""

import json

import numpy as np
import pytest

from robot_rlaas.calibrate.contact.presses import read_press
from robot_rlaas.calibrate.log import read_states
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.deploy.excite import record_press
from robot_rlaas.deploy.names import MOTION, PLATE
from robot_rlaas.deploy.plan import Station
from robot_rlaas.deploy.press import HARD, Gentle
from robot_rlaas.deploy.spots import clear_m

# rclpy's message generator imports a parser that imports a deprecated module
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")

DOMAIN = 87
GENTLE = Gentle(depth_m=0.0015)


@pytest.fixture
def exact(cell) -> CellSpec:
    """Parts that sit in the hand as they should: the plate is felt where it is."""
    known = {"hand_offset_mm": (0.0, 0.0), "hand_offset_deg": (0.0, 0.0), "plate_xy_mm": (-5.0, 5.0)}
    return cell.model_copy(update={"variation": cell.variation.model_copy(update=known)})


@pytest.mark.long
@pytest.mark.realtime
@pytest.mark.timeout(120)
def test_ctrl_c_in_a_press_lifts_the_tip_off(tmp_path, exact, workcell) -> None:
    """Until then it has pressed a spot, as its log shows."""
    station, told = Station(exact, workcell.chain, workcell.envelope), list[str]()

    def interrupted(line: str) -> None:
        told.append(line)
        if line.startswith("spot 2 of 6"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_press(station, GENTLE, tmp_path / "press.mcap", domain_id=DOMAIN, on_event=interrupted)
    assert told[0] == "the motion begins"
    assert not (tmp_path / "press.mcap").exists()
    work = tmp_path / "press"
    counts = json.loads((work / "supervisor.json").read_text())
    assert GENTLE.force_N < counts["peak_force_N"] < HARD * GENTLE.force_N
    assert counts["stops"].get("force", 0) == 0
    log = read_press(work / "log.mcap", workcell, PLATE, MOTION)
    first = log.spots[0]
    assert [rest.force_N[2] for rest in first.rests] == pytest.approx([GENTLE.force_N, 0.6 * GENTLE.force_N], abs=2.5)
    assert len(first.slides) == 2
    assert first.rests[0].tip_m[2] == pytest.approx(0.06, abs=5e-4)
    q = read_states(work / "log.mcap", workcell.profile)[1]
    height_m = tool_pose(workcell.chain, q).p[:, 2]
    assert height_m[-1] > clear_m(exact) - 0.003
    assert np.median(height_m) < clear_m(exact)
