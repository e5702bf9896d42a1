"""What every command says on the terminal: progress, and errors in one line."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import typer

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Opens a bar of a title and a total; yields what moves it on by one."""


def say(words: str) -> None:
    """Tell on standard error how far a command is."""
    typer.echo(words, err=True)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on standard error; yields what moves it on by one."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Show what a person can do something about in one line; let bugs through."""
    from mammoclip_core.errors import CoreError

    try:
        yield
    except CoreError as error:
        typer.echo(f"mammoclip-train: {error}", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        typer.echo(f"mammoclip-train: {error.filename}: {reason}", err=True)
        raise typer.Exit(1) from error
