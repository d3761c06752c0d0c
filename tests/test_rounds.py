"""A round on disk belongs to what it is made from."""

import json
from pathlib import Path

import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.jobs.rounds import claim, finished


def steps(content: dict) -> int:
    return content["steps"]


def test_a_round_is_finished_for_what_it_was_made_from_only(tmp_path: Path) -> None:
    file = tmp_path / "round_01" / "round.json"
    assert finished(file, "ours", steps) is None
    claim(file, "ours")
    assert finished(file, "ours", steps) is None
    claim(file, "ours")
    file.write_text(json.dumps({"key": "ours", "steps": 3}))
    claim(file, "ours")
    assert finished(file, "ours", steps) == 3
    for other in (lambda: claim(file, "theirs"), lambda: finished(file, "theirs", steps)):
        with pytest.raises(InputError, match=r"round\.json: this round was made from another cell"):
            other()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"steps": 3}'])
def test_what_says_nothing_of_itself_is_neither_finished_nor_gone_on_with(tmp_path: Path, content: str) -> None:
    file = tmp_path / "turn.json"
    file.write_text(content)
    assert finished(file, "ours", steps) is None
    with pytest.raises(InputError, match=r"turn\.json: it does not say what this round was made from"):
        claim(file, "ours")
    assert file.read_text() == content
