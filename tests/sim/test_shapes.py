"""Triangles of a model: closed, seen from outside, as large as MuJoCo's geoms."""

import mujoco
import numpy as np
import pytest

from robot_rlaas.cell.spec import load_cell
from robot_rlaas.sim.model import build
from robot_rlaas.sim.scenery import dress
from robot_rlaas.sim.shapes import shapes

TETRAHEDRON = "0 0 0  .03 0 0  0 .03 0  0 0 .03"
GEOMS = {
    "box": ('type="box" size=".01 .02 .03"', 8 * 0.01 * 0.02 * 0.03),
    "cylinder": ('type="cylinder" size=".01 .02"', np.pi * 0.01**2 * 0.04),
    "capsule": ('type="capsule" size=".01 .02"', np.pi * 0.01**2 * (0.04 + 4 / 3 * 0.01)),
    "sphere": ('type="sphere" size=".01"', 4 / 3 * np.pi * 0.01**3),
    "ellipsoid": ('type="ellipsoid" size=".01 .02 .03"', 4 / 3 * np.pi * 0.01 * 0.02 * 0.03),
    "mesh": ('type="mesh" mesh="corner"', 0.03**3 / 6),
}


def model_of(*geoms: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><asset><mesh name="corner" vertex="{TETRAHEDRON}"/></asset><worldbody><body name="one">'
        f"{''.join(f'<geom {geom}/>' for geom in geoms)}</body></worldbody></mujoco>"
    )


def volume(shape) -> float:
    """By the divergence theorem: positive only if the faces are counter-clockwise from outside."""
    a, b, c = np.moveaxis(shape.vertices[shape.faces], 1, 0)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("kind", GEOMS)
def test_a_shape_is_closed_and_has_its_geoms_volume(kind: str) -> None:
    text, expected = GEOMS[kind]
    (shape,) = shapes(model_of(text))
    assert volume(shape) == pytest.approx(expected, rel=0.03)
    edges = np.concatenate([shape.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    edges = np.unique(shape.vertices.round(9), axis=0, return_inverse=True)[1].reshape(-1)[edges]
    edges = edges[edges[:, 0] != edges[:, 1]]  # at a pole, a ring is one point
    assert sorted(map(tuple, edges)) == sorted(map(tuple, edges[:, ::-1]))


def test_a_shape_lies_where_its_geom_lies() -> None:
    (shape,) = shapes(model_of('type="box" size=".01 .02 .03" pos="1 2 3" euler="0 0 90"'))
    np.testing.assert_allclose(shape.vertices.min(0), (1 - 0.02, 2 - 0.01, 3 - 0.03), atol=1e-9)
    np.testing.assert_allclose(shape.vertices.max(0), (1 + 0.02, 2 + 0.01, 3 + 0.03), atol=1e-9)


def test_geoms_of_one_look_are_one_shape_and_hidden_ones_none() -> None:
    red, box = 'rgba="1 0 0 1"', 'type="box" size=".01 .01 .01"'
    found = shapes(model_of(f"{box} {red}", f'{box} {red} pos="1 0 0"', f"{box} {red.replace('1 0', '0 1')}"))
    assert sorted((len(s.faces), s.rgba) for s in found) == [(24, (0.0, 1.0, 0.0, 1.0)), (48, (1.0, 0.0, 0.0, 1.0))]
    assert shapes(model_of(f'{box} group="3"')) == []


@pytest.mark.parametrize("name", ["peg_insertion", "gear_meshing", "machine_tending"])
def test_a_cell_has_a_shape_on_every_link_of_the_arm(name: str) -> None:
    workcell = build(load_cell(name))
    model = dress(workcell.spec).compile()
    shown = {model.body(shape.body).name for shape in shapes(model)}
    links = {model.body(model.joint(joint).bodyid[0]).name for joint in workcell.chain.joints}
    assert links <= shown
