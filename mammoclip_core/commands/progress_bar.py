"""How far a long command is: a bar on standard error, where a person looks at it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FEWEST = 2
"""Steps from which a bar is worth its line."""


@contextmanager
def counted(steps: int, name: str) -> Iterator[Callable[[], None]]:
    """Show a bar that moves on by one each time what is yielded is called; gone at the end.

    Nothing is shown for one step, nor where standard error is no terminal.

    Parameters
    ----------
    name : plural of what is counted
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    if steps < _FEWEST or not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=steps)
        yield lambda: bar.advance(task)
