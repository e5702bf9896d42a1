"""Progress of a long command: a bar on standard error, if that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FEWEST = 2
"""Fewer steps are shown without a bar."""


@contextmanager
def counted(steps: int, name: str) -> Iterator[Callable[[], None]]:
    """Show a bar that moves on by one each time what is yielded is called; gone at the end.

    Nothing is shown for one step, or if standard error is not a terminal.

    Parameters
    ----------
    name : plural of what is counted
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True, markup=False, emoji=False)
    if steps < _FEWEST or not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn(name, markup=False), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=steps)
        yield lambda: bar.advance(task)
