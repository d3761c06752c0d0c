"""Cheats: a policy must not be judged by episodes that it can have met."""

import pytest

from robot_rlaas.cell.seeds import Seeds, Space, key_of, sequence_json
from robot_rlaas.qualify.fresh import freshness

POLICY = "ab" * 32
OWN = Seeds(0, Space.QUALIFY, key_of(POLICY))


def test_episodes_keyed_by_the_policy_are_fresh() -> None:
    fresh = freshness(OWN, POLICY, {"sequences": [sequence_json(Seeds(0, Space.TRAIN))]})
    assert fresh.proved
    assert any("TRAIN of seed 0" in s for s in fresh.statements)


def test_what_was_learned_from_another_policys_qualification_is_no_objection() -> None:
    earlier = sequence_json(Seeds(0, Space.QUALIFY, key_of("cd" * 32)))
    assert freshness(OWN, POLICY, {"sequences": [earlier]}).proved


@pytest.mark.parametrize("more", [{}, {"episodes": 500}])
def test_a_policy_that_learned_from_these_episodes_is_refused(more: dict) -> None:
    fresh = freshness(OWN, POLICY, {"sequences": [sequence_json(OWN) | more]})
    assert not fresh.proved
    assert "these very episodes" in fresh.objections[0]


@pytest.mark.parametrize("told", [{}, {"seed": None, "space": None, "key": None}, {"seed": 3}, {"space": "TRAIN"}])
def test_data_without_lineage_is_of_unknown_origin(told: dict) -> None:
    fresh = freshness(OWN, POLICY, {"sequences": [told, sequence_json(Seeds(0, Space.TRAIN))]})
    assert fresh.proved
    assert fresh.statements[-1].endswith("it learned from data of unknown origin, TRAIN of seed 0")


def test_a_policy_need_not_say_what_it_learned_from() -> None:
    for told in (None, {}, {"sequences": None}):
        assert "does not say" in freshness(OWN, POLICY, told).statements[-1]


def test_episodes_that_anybody_could_have_drawn_are_refused() -> None:
    assert not freshness(Seeds(0, Space.QUALIFY), POLICY, None).proved
    assert not freshness(Seeds(0, Space.QUALIFY, key_of("cd" * 32)), POLICY, None).proved


def test_code_that_no_file_determines_is_refused() -> None:
    assert not freshness(Seeds(0, Space.QUALIFY), "", None).proved
