"""What must never be touched is felt at every time step, by both simulators, and only where a cell names it."""

import mujoco
import numpy as np
import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.kinematics import Pose, solve, tool_pose
from robot_rlaas.sim.backend import Physics
from robot_rlaas.sim.backends import backend_of
from robot_rlaas.sim.model import Workcell, build
from robot_rlaas.sim.surfaces import touch_at
from robot_rlaas.sim.variation import draw

COUNT = 4
IDS = np.arange(COUNT)


def naming(name: str, *surfaces: dict[str, str], **more) -> CellSpec:
    said = load_cell(name).model_dump()
    said["requirements"] |= {"untouched": {"surfaces": surfaces, "rate": 0.01}}
    return CellSpec.model_validate(said | more)


def lowered(cell: CellSpec, workcell: Workcell, simulator: str, at_mm: tuple[float, float, float]) -> list[Physics]:
    """12 periods with the tool's tip commanded to a point, in the middle of what varies."""
    backend = backend_of(simulator, workcell, cell, COUNT)
    drawn = draw(cell, Seeds(0, Space.SHOW), IDS)
    starts = drawn._replace(
        **{key: 0.0 * getattr(drawn, key) for key in ("plate_xy_m", "plate_yaw_rad", "hand_m", "hand_rad", "delay_s")}
    )
    home = np.tile(np.deg2rad(np.array(cell.robot.home_deg)), (COUNT, 1))
    R = tool_pose(workcell.chain, home).R
    above, there = (
        solve(workcell.chain, Pose(R, np.tile(np.array(at_mm) / 1000 + (0.0, 0.0, up), (COUNT, 1))), home, 200)[0]
        for up in (0.01, 0.0)
    )
    backend.reset(IDS, starts, above)
    return [backend.step(np.repeat(there[:, None], backend.substeps, axis=1)) for _ in range(12)]


@pytest.fixture(scope="module")
def plated() -> tuple[CellSpec, Workcell]:
    """The plate named by the tool alone, and the table by anything."""
    cell = naming("peg_insertion", {"name": "plate", "by": "tool"}, {"name": "table"})
    return cell, build(cell)


def test_the_peg_may_press_where_the_fingers_may_not(plated) -> None:
    """Onto the plate, 3 mm deep; then with the peg in the hole up to the fingers, which would go into the plate."""
    cell, workcell = plated
    x, y, z = cell.task.plate.top_mm
    pressed = lowered(cell, workcell, "cpu", (x + 30, y, z - 3))
    assert max(now.contact_N.min() for now in pressed) > 5.0
    assert max(now.touch_N.max() for now in pressed) == 0.0
    deep = lowered(cell, workcell, "cpu", (x, y, z - 43))
    assert min(now.touch_N.min() for now in deep[-3:]) > 5.0
    assert all((now.touch_N <= now.contact_N + 1e-9).all() for now in deep), "at most the whole of it is of the fingers"


def test_the_table_is_touched_by_the_peg(plated) -> None:
    cell, workcell = plated
    x, y, z = cell.task.plate.top_mm
    for simulator in ("cpu", "warp:cpu"):
        beside = lowered(cell, workcell, simulator, (x, y - 100, z - 31))
        assert max(now.touch_N.max() for now in beside[:2]) == 0.0
        for now in beside[-3:]:
            share = now.touch_N / now.contact_N
            assert ((share > 0.24) & (share < 1.01)).all(), "the peg stands on up to four corners"
            np.testing.assert_allclose(now.contact_N, now.forces_N.max(axis=1))


def test_both_simulators_feel_the_same_touch(plated) -> None:
    cell, workcell = plated
    x, y, z = cell.task.plate.top_mm
    one, other = (lowered(cell, workcell, simulator, (x, y, z - 42)) for simulator in ("cpu", "warp:cpu"))
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a.touch_N > 0.5, b.touch_N > 0.5)
    np.testing.assert_allclose(one[-1].touch_N, other[-1].touch_N, rtol=0.05)
    assert one[-1].touch_N.min() > 5.0


def test_a_link_that_is_named_collides_and_the_others_do_not() -> None:
    """A post stands where the forearm goes when the shoulder is lowered by 40 degrees."""
    post = {"name": "post", "center_mm": (360, -45, 300), "size_mm": (60, 60, 100)}
    felt = {}
    for name in ("forearm_link", "shoulder_link"):
        cell = naming("peg_insertion", {"name": name}, keep_out=[post])
        workcell = build(cell)
        backend = backend_of("cpu", workcell, cell, 1)
        home = np.deg2rad(np.array([cell.robot.home_deg]))
        backend.reset(IDS[:1], draw(cell, Seeds(0, Space.SHOW), IDS[:1]), home)
        lower = home + np.deg2rad([0.0, 40.0, 0.0, 0.0, 0.0, 0.0]) * np.linspace(0, 1, 20)[:, None]
        steps = [backend.step(np.repeat(q[None, None], backend.substeps, axis=1)) for q in lower]
        felt[name] = max(float(now.touch_N[0]) for now in steps)
    assert felt["forearm_link"] > 5.0
    assert felt["shoulder_link"] == 0.0


def test_parts_count_unless_the_tool_alone_is_meant() -> None:
    """Who has a sensor: the gripper, and every free part."""
    everything, tool = (
        build(naming("kitting", {"name": "table", "by": by})).model for by in ("anything", "tool")
    )  # fmt: skip
    touching = [_whom(model) for model in (everything, tool)]
    parts = [part.name for part in load_cell("kitting").task.parts]
    assert touching == [["tool/hand", *parts], ["tool/hand"]]


def _whom(model: mujoco.MjModel) -> list[str]:
    names = [(i, model.sensor(i).name) for i in range(model.nsensor)]
    return [model.body(model.sensor_refid[i]).name for i, name in names if name.startswith("touch/")]


def test_a_cell_that_names_nothing_has_no_such_sensors(workcell) -> None:
    assert workcell.model.nsensordata == touch_at(workcell.model) == 9


def test_an_unknown_surface_is_told_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"there are table, clamp, plate, base_link, .*, wrist_3_link\n.*'plate'\?"):
        build(naming("peg_insertion", {"name": "plates"}))
