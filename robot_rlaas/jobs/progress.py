"""What a person sees while it works: a bar for the present work, and lines that stay."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class TerminalWatch:
    """Implements `pipeline.Watch` with rich. Where the output is no terminal, only the lines are printed."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._task = progress.add_task("", total=None, visible=False)

    def begin(self, stage: str, number: int, total: int) -> None:
        """A stage of several begins."""
        self._progress.reset(self._task, visible=False)
        self._console.print(f"[bold]{number}/{total} {stage}[/bold]", highlight=False)

    def say(self, text: str) -> None:
        """See `pipeline.Watch`."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def bar(self, text: str, done: float, total: float) -> None:
        """See `pipeline.Watch`."""
        self._progress.update(self._task, description=text, completed=done, total=total, visible=True)


@contextmanager
def watching() -> Iterator[TerminalWatch]:
    """A terminal display for the length of the block."""
    console = Console(file=sys.stdout)
    columns = (TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield TerminalWatch(console, progress)
