"""How entries of the audit, and what is wrong with them, are printed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer


def print_entries(entries: Iterable[Mapping[str, Any]]) -> None:
    """Print a line for each entry."""
    for one in entries:
        studies = " ".join(map(str, one.get("studies", [])))
        words = (one.get("at"), one.get("who"), one.get("act"), one.get("outcome"))
        line = "  ".join((*map(str, words), studies, str(one.get("detail", ""))))
        typer.echo(line.rstrip())


def verdict_lines(count: int, faults: Sequence[str]) -> list[str]:
    """Say of so many lines of the audit file what is wrong with them."""
    if faults:
        return [f"FAIL  {fault}" for fault in faults]
    return [f"ok    {count} lines, none altered, none missing"]
