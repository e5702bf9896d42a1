"""The one form in which every benchmark gives its result, and the table made of it."""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# The folder deploy is not installed with the packages; a benchmark may be run from anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure, and what it is held against.

    Attributes
    ----------
    against, theirs, ratio : the anchor measured in the same run; empty or None where there is none
    details : what else was measured, by name
    """

    measure: str
    unit: str
    ours: float
    against: str = ""
    theirs: float | None = None
    ratio: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one benchmark, with the conditions that it was made under."""

    benchmark: str
    rows: list[Row]
    conditions: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def read_report(path: Path) -> Report:
    """Read a report that a benchmark wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return Report(**{**document, "rows": [Row(**row) for row in document["rows"]]})


def machine() -> dict[str, Any]:
    """Return what has to stand beside any figure of this machine."""
    return {
        "processors": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def show(
    reports: Iterable[Report], details: Mapping[str, tuple[str, Callable[[Any], str]]] | None = None
) -> None:
    """Print reports as one table.

    Parameters
    ----------
    details : heading and form by name
        Which of the rows' details have a column.
    """
    details = details or {}
    table = Table(title="Benchmarks", title_justify="left")
    for heading in ("benchmark", "measure", "ours", "theirs", "ratio", "against", "unit"):
        table.add_column(heading, overflow="fold")
    for heading, _ in details.values():
        table.add_column(heading, overflow="fold")
    notes = []
    for report in reports:
        notes.append(f"{report.benchmark}: {report.conditions}")
        for number, row in enumerate(report.rows):
            table.add_row(
                report.benchmark if number == 0 else "",
                row.measure,
                _figure(row.ours),
                "" if row.theirs is None else _figure(row.theirs),
                "" if row.ratio is None else f"{row.ratio:.2f}",
                row.against,
                row.unit,
                *(
                    form(row.details[name]) if name in row.details else ""
                    for name, (_, form) in details.items()
                ),
            )
        table.add_section()
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 180 if details else 140
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True)


def _figure(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
