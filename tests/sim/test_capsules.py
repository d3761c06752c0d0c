"""Capsules round an arm's links against the distances that MuJoCo finds between the shapes themselves."""

from itertools import combinations
from typing import NamedTuple

import mujoco
import numpy as np
import pytest

from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.capsules import Capsules, axes_of, distances, encounters, segment_distance
from robot_rlaas.control.envelope import joint_range
from robot_rlaas.sim.capsules import capsules_of
from robot_rlaas.sim.model import Workcell, build

FAR_M = 0.5
SLACK_M = 0.004  # by which a circle of 24 corners, moved out, is more than the circle, and polyhedra than ellipsoids


class Shape(NamedTuple):
    cell: CellSpec
    workcell: Workcell
    capsules: Capsules
    model: mujoco.MjModel


@pytest.fixture(scope="module", params=["peg_insertion", "connector_mating"])
def shape(request) -> Shape:
    cell = load_cell(request.param)
    workcell = build(cell)
    return Shape(cell, workcell, capsules_of(cell, workcell), workcell.spec.copy().compile())


def postures(shape: Shape, count: int) -> np.ndarray:
    low, high = joint_range(shape.workcell.chain, shape.workcell.profile.position_limit_rad)
    return np.random.default_rng(0).uniform(low, high, (count, len(low)))


def true_distance(model: mujoco.MjModel, data: mujoco.MjData, one: str, other: str) -> float:
    """Between the shapes of two bodies, m."""
    geoms = [range(model.body(name).geomadr[0], model.body(name).geomadr[0] + model.body(name).geomnum[0])
             for name in (one, other)]  # fmt: skip
    between = np.zeros(6)
    return min(mujoco.mj_geomDistance(model, data, i, j, FAR_M, between) for i in geoms[0] for j in geoms[1])


def test_capsules_are_never_further_apart_than_what_they_contain_and_hardly_nearer(shape):
    """Every pair of links in 25 postures. A pair is as near as the nearest of its capsules."""
    q, chain, data = postures(shape, 25), shape.workcell.chain, mujoco.MjData(shape.model)
    link = shape.capsules.link
    pairs = np.array([(i, j) for i, j in combinations(range(len(link)), 2) if abs(link[i] - link[j]) > 1])
    capsules = shape.capsules._replace(pairs=pairs)  # with those that are near each other at home
    found = distances(capsules, axes_of(capsules, chain, q), np.zeros((0, 3)), np.zeros((0, 3)))
    who = encounters(capsules, 0)
    addresses = [shape.model.joint(name).qposadr[0] for name in chain.joints]
    gaps = []
    for row, angles in zip(found, q):
        data.qpos[addresses] = angles
        mujoco.mj_kinematics(shape.model, data)
        for pair in {names for names in who if names[1] != "the table"}:
            capsule_m = min(d for d, names in zip(row, who) if names == pair)
            if capsule_m < 0.2:
                gaps.append(true_distance(shape.model, data, *pair) - capsule_m)
    assert len(gaps) > 100
    assert min(gaps) > -SLACK_M / 4
    assert np.median(gaps) < 0.04  # a stubby cylinder ends in half balls


def test_at_home_nothing_is_near(shape):
    home = np.deg2rad(np.array(shape.cell.robot.home_deg))
    axes = axes_of(shape.capsules, shape.workcell.chain, home[None])
    envelope = shape.workcell.envelope
    assert distances(shape.capsules, axes, envelope.keep_out_min_m, envelope.keep_out_max_m).min() > 0.03


def test_an_elbow_that_goes_down_meets_the_table():
    cell = load_cell("peg_insertion")
    workcell = build(cell)
    capsules, home = capsules_of(cell, workcell), np.deg2rad(np.array(cell.robot.home_deg))
    low = home + np.deg2rad([0, 80, 0, 0, 0, 0])  # the upper arm nearly level: the forearm reaches down
    axes = axes_of(capsules, workcell.chain, np.stack([home, low]))
    found, who = distances(capsules, axes, np.zeros((0, 3)), np.zeros((0, 3))), encounters(capsules, 0)
    assert found[0].min() > 0 > found[1].min()
    assert who[int(found[1].argmin())][1] == "the table"


def test_they_survive_a_bundle(shape):
    again = Capsules.from_json(shape.capsules.to_json())
    for one, other in zip(again, shape.capsules):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        (((0, 0, 0), (1, 0, 0)), ((0, 1, 0), (1, 1, 0)), 1.0),  # parallel
        (((0, 0, 0), (1, 0, 0)), ((0.5, -1, 2), (0.5, 1, 2)), 2.0),  # crossing
        (((0, 0, 0), (1, 0, 0)), ((4, 4, 0), (4, 9, 0)), 5.0),  # end to end
        (((0, 0, 0), (1, 0, 0)), ((3, 0, 0), (2, 0, 0)), 1.0),  # one behind the other
        (((0, 0, 0), (0, 0, 0)), ((3, 0, 0), (3, 0, 4)), 3.0),  # a point
        (((0, 0, 0), (2, 2, 0)), ((0, 2, 0), (2, 0, 0)), 0.0),  # through each other
    ],
)
def test_the_distance_between_segments(one, other, distance):
    found = segment_distance(np.array(one, dtype=float), np.array(other, dtype=float))
    assert found == pytest.approx(distance, abs=1e-9)


def test_the_distance_between_segments_is_that_of_many_points():
    rng, share = np.random.default_rng(0), np.linspace(0, 1, 200)[:, None]
    one, other = rng.normal(size=(2, 50, 2, 3))
    for a, b, found in zip(one, other, segment_distance(one, other)):
        points = [ends[0] + share * (ends[1] - ends[0]) for ends in (a, b)]
        nearest = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1).min()
        assert found <= nearest + 1e-9
        assert found == pytest.approx(nearest, abs=0.02)
