"""The command that keeps what turned out to be true of studies, and writes what is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.commands.terminal import ConfigOption, ledger_of, one_line_errors
from dicom_node.errors import NodeError
from mammoclip_core.counting import counted

if TYPE_CHECKING:
    from dicom_node.assessments.truth_table import Truth
    from dicom_node.listed_lines import BadLine
    from dicom_node.settings.settings import Settings
    from dicom_node.studies.ledger.database import Database


def add_assessing_commands(app: typer.Typer) -> None:
    """Add the command to a command line."""
    app.command()(assessments)


def assessments(
    truths: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV file of what turned out to be true: accession_number or study_instance_uid, "
            "truth (positive or negative), and if known laterality, finding and date.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Write all that is kept to this table: .csv, .jsonl or .parquet.",
        ),
    ] = None,
) -> None:
    """Keep what turned out to be true of studies, and write what readers and tables have said.

    A line that is given again adds nothing. Assessments by readers come as structured reports, see
    receive.assessment_senders. Nothing of either is ever sent anywhere.

    Example: mammoclip-node assessments truths.csv

    Example: mammoclip-node assessments --out assessments.csv

    Exit status: 0 if every line was kept or had been before, 1 if not.
    """
    with one_line_errors(), ledger_of(config) as (settings, database):
        if truths is None and out is None:
            raise NodeError("give a file of what turned out to be true, or --out, or both")
        is_whole = truths is None or _keep(settings, database, truths)
        if out is not None:
            _write(database, out)
        if not is_whole:
            raise typer.Exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTable:
    """What became of a table's lines.

    Attributes
    ----------
    faults : in words, of the lines that are not used
    """

    new: int
    known: int
    faults: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether every line was kept, or had been before."""
        return not self.faults

    def in_words(self) -> str:
        """Return one line."""
        return f"{self.new} kept, {self.known} known before, {len(self.faults)} not used"


def _keep(settings: "Settings", database: "Database", path: Path) -> bool:
    from dicom_node.assessments.truth_table import read_truths

    done = keep_all(settings, database, read_truths(path))
    for line in done.faults:
        typer.echo(line, err=True)
    typer.echo(done.in_words())
    return done.is_whole


def keep_all(
    settings: "Settings",
    database: "Database",
    table: tuple[Sequence["Truth"], Sequence["BadLine"]],
) -> KeptTable:
    """Keep each line of a table with its study."""
    from dicom_node.assessments.accession_numbers import learn_accession_numbers
    from dicom_node.assessments.keeping import keep_truths
    from dicom_node.spool.local_disk import Spool
    from dicom_node.studies.installation_key import installation_key
    from dicom_node.studies.reach import Reach

    found, bad = table
    spool = Spool(settings.spool)
    key = installation_key(spool, database)
    if any(one.accession_number for one in found):
        reach = Reach(spool, settings.other_spools, settings.store)
        for _ in learn_accession_numbers(database, reach, key):
            pass
    kept = keep_truths(database, found, key)
    faults = sorted([*bad, *kept.bad], key=lambda one: one.line)
    return KeptTable(
        new=kept.new,
        known=kept.known,
        faults=[f"line {one.line}: {one.reason}" for one in faults],
    )


def _write(database: "Database", out: Path) -> None:
    from dicom_node.assessments.keeping import ASSESSMENT_COLUMNS, assessment_rows
    from dicom_node.commands.table_files import require_table, table_written

    require_table(out)
    count = table_written(assessment_rows(database), out, ASSESSMENT_COLUMNS)
    typer.echo(f"{counted(count, 'row')} in {out}")
