"""The command that writes the scores of all studies to one table."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from dicom_node.commands.terminal import ConfigOption, ledger_of, one_line_errors
from dicom_node.errors import NodeError
from mammoclip_core.counting import counted

if TYPE_CHECKING:
    from dicom_node.settings.settings import Settings


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
    from dicom_node.commands.table_files import require_table, table_written
    from dicom_node.studies.ledger.queries.answers import standing_answers
    from dicom_node.studies.score_table import SCORE_COLUMNS, score_rows

    with one_line_errors(), ledger_of(config) as (settings, database):
        require_table(out)
        begin, end = moment_of(since, settings), moment_of(until, settings)
        answers = standing_answers(database, since=begin, until=end, rule=rule)
        count = table_written(score_rows(answers), out, SCORE_COLUMNS)
        typer.echo(f"{counted(count, 'row')} in {out}")


def moment_of(text: str | None, settings: "Settings") -> datetime | None:
    """Return a moment of the site; without a zone of its own that of the machine.

    Raises
    ------
    NodeError
        It is no date.
    """
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
    name = settings.results.time_zone
    return moment.astimezone() if name is None else moment.replace(tzinfo=ZoneInfo(name))
