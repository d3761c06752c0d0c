"""Errors that people see: bad input, and work that could not be brought to its end."""

from pathlib import Path


class InputError(ValueError):
    """Something a person wrote, or a file they named, cannot be used.

    The command line prints it as it stands and exits with code 2.

    Args:
        message: what is wrong, with the value and what is allowed.
        file: the file it stands in, if it stands in one.
        line: 1-based line in that file, if known.
        fix: what to do about it.
    """

    def __init__(self, message: str, *, file: Path | str | None = None, line: int | None = None, fix: str = "") -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{where}{message}" + (f"\n  fix: {fix}" if fix else ""))
        self.message, self.file, self.line, self.fix = message, file, line, fix


class StageError(RuntimeError):
    """A stage began with good input and could not be brought to its end. The command line exits with code 1."""
