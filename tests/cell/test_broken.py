"""Broken cell files. The first line of each says what a person is told: `line 5` is the line, the rest stands there."""

from pathlib import Path

import pytest

from robot_rlaas.cli import main

FILES = sorted((Path(__file__).parent / "broken").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_is_told_where_what_and_what_to_do(path: Path, capsys: pytest.CaptureFixture) -> None:
    head = path.read_bytes().splitlines()[0].decode()
    pieces = [piece.strip() for piece in head.removeprefix("# expect:").split(" | ")]
    assert main(["cell", "check", str(path)]) == 2
    message = capsys.readouterr().err
    for piece in pieces:
        where = piece.removeprefix("line ")
        wanted = f"rlaas: {path}:{where}: " if where.isdigit() else piece
        assert wanted in message, message
