"""What every command says on the terminal: progress, and errors in one line."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import typer

LIBRARIES: Final = frozenset(
    {
        "PIL",
        "huggingface_hub",
        "imagecodecs",
        "jsonargparse",
        "lightning",
        "matplotlib",
        "pandas",
        "pydicom",
        "safetensors",
        "scipy",
        "sklearn",
        "tensorboard",
        "timm",
        "tokenizers",
        "torch",
        "torchvision",
        "transformers",
    }
)
"""What the extra ``training`` installs, by the names that are imported."""

Say = Callable[[str], None]
"""Takes a sentence about how far a command is."""

NOTHING_SAID: Final[Say] = lambda words: None  # noqa: E731
"""Of a process that is silent because another one speaks."""

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Opens a bar of a title and a total; yields what moves it on by one."""


def say(words: str) -> None:
    """Print a line about the progress of a command to standard error."""
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

    columns = (
        TextColumn(title, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, markup=False, emoji=False)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Show what a person can do something about in one line; let bugs through.

    Also a decorator of commands, which import what they need when they run.
    """
    from mammoclip_core.errors import CoreError

    try:
        yield
    except CoreError as error:
        say(f"mammoclip-train: {_without_worker(error)}")
        raise typer.Exit(1) from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        place = f"{error.filename}: " if error.filename else ""
        say(f"mammoclip-train: {place}{reason}")
        raise typer.Exit(1) from error
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in LIBRARIES:
            raise
        say(f"mammoclip-train: {library} is not installed: {install_hint('training')}")
        raise typer.Exit(1) from error


def _without_worker(error: Exception) -> str:
    """Return an error's own words: torch puts the traceback of a loader's process before them."""
    words = str(error)
    if not words.startswith(_OF_A_WORKER):
        return words
    return words.rpartition(f"{type(error).__name__}: ")[2].strip()


_OF_A_WORKER: Final = "Caught "


def install_hint(extra: str) -> str:
    """Say how the libraries of an extra are installed, from the folder that the source lies in."""
    return f"install the extra {extra!r}: pip install '.[{extra}]' in the project's folder"
