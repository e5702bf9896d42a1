"""The command that writes the scores of all studies to one table."""

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from dicom_node.commands.terminal import ConfigOption, ledger_of, one_line_errors
from dicom_node.errors import NodeError


def add_scoring_commands(app: typer.Typer) -> None:
    """Add the command to a command line."""
    app.command()(scores)


def scores(
    out: Annotated[
        Path,
        typer.Option(
            dir_okay=False, help="Table to write: .csv, .jsonl or .parquet. Replaced whole."
        ),
    ],
    config: ConfigOption = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Studies analysed at this moment or later: a date or a date with a time, such as "
            "2026-11-01 or 2026-11-01T06:00, on the clocks of the site (results.time_zone)."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Studies analysed before this moment, written alike.")
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="Studies that this rule took, or whose answer this rule on results added to."
        ),
    ] = "",
) -> None:
    """Write the newest scores of each study to a table, a row for each score.

    The columns are those of 'mammoclip-predict images', with when the study was analysed and by
    which rules. No patient data but the UIDs of study and images. As many studies as there are:
    they are read a few at a time.

    Example: mammoclip-node scores --out scores.parquet --since 2026-11-01
    """
    from dicom_node.studies.ledger.queries.answers import standing_answers
    from dicom_node.studies.score_table import SCORE_COLUMNS, score_rows
    from mammoclip_core.errors import CoreError
    from mammoclip_core.many_studies.tables import check_table, write_table

    with one_line_errors(), ledger_of(config) as (settings, database):
        try:
            check_table(out)
        except CoreError as error:
            raise NodeError(str(error)) from error
        name = settings.results.time_zone
        zone = None if name is None else ZoneInfo(name)
        answers = standing_answers(
            database, since=_moment(since, zone), until=_moment(until, zone), rule=rule
        )
        counted = _Counted(score_rows(answers))
        write_table(counted, out, out.with_name(f".{out.name}.part"), SCORE_COLUMNS)
        typer.echo(f"{counted.count} rows in {out}")


def _moment(text: str | None, zone: tzinfo | None) -> datetime | None:
    """Return a moment of the site; without a zone of its own that of the machine."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise NodeError(
            f"{text} is no date: write 2026-11-01, or 2026-11-01T06:00 with a time"
        ) from error
    if moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()


class _Counted:
    """Counts rows as they pass."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            self.count += 1
            yield row
