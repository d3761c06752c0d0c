"""Errors that people see: bad input, and work that could not be brought to its end."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class InputError(ValueError):
    """Something a person wrote, or a file they named, cannot be used.

    The command line prints it as it stands and exits with code 2.

    Args:
        message: what is wrong, with the value and what is allowed.
        file: the file it stands in, if it stands in one.
        line: 1-based line in that file, if known.
        fix: what to do about it.
        key: the key of a cell file that it is about, for those who know the cell but not its file: see
            `extends.naming_lines`.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        fix: str = "",
        key: str = "",
    ) -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{where}{message}" + (f"\n  fix: {fix}" if fix else ""))
        self.message, self.file, self.line, self.fix, self.key = message, file, line, fix, key


class StageError(RuntimeError):
    """A stage began with good input and could not be brought to its end. The command line exits with code 1."""


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """A question that names the nearest valid name, or nothing where none is near."""
    near = difflib.get_close_matches(wrong, list(valid), n=1)
    return f"did you mean '{near[0]}'?" if near else ""
