"""What turned out to be true, from a table by accession number, as a person types the command."""

import csv
from pathlib import Path

import pytest
from click.testing import Result
from node_factory import STUDY_UID, Reception, analysis_row, mammogram, study_row
from sqlalchemy import select
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.studies.ledger.assessment_tables import AccessionDigest, Assessment
from dicom_node.studies.ledger.removal.erasing import erase_study
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Study

ACCESSION = "KH-2026-4711"

pytestmark = pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)],
    indirect=True,
)


@pytest.fixture
def config(tmp_path: Path, reception: Reception) -> Path:
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file = tmp_path / "mammoclip.toml"
    file.write_text(f'spool = "{reception.spool.root}"\n[ledger]\nurl = "{url}"\n')
    return file


@pytest.fixture
def received(reception: Reception) -> Reception:
    reception.receive(mammogram(AccessionNumber=ACCESSION))
    with reception.database.writing() as session:
        study = session.scalars(select(Study)).one()
        analysis_row(session, study, state=AnalysisState.DONE)
    return reception


def run(config: Path, *arguments: object) -> Result:
    words = ["assessments", "--config", str(config), *map(str, arguments)]
    return CliRunner().invoke(app, words)


def table(tmp_path: Path, *lines: str, heading: str = "accession_number,truth") -> Path:
    file = tmp_path / "truths.csv"
    file.write_text("\n".join([heading, *lines]) + "\n", encoding="utf-8")
    return file


def test_truth_is_kept_with_the_study_of_its_accession_number(
    config: Path, received: Reception, tmp_path: Path
) -> None:
    heading = "Accession Number;Laterality;Finding;Truth;Date"
    result = run(
        config, table(tmp_path, f"{ACCESSION};left;mass;positive;2026-11-29", heading=heading)
    )

    assert (result.exit_code, result.output) == (0, "1 kept, 0 known before, 0 not used\n")
    (row,) = received.rows(Assessment)
    assert (row.study_id, row.decision, row.laterality, row.finding) == (1, "positive", "L", "mass")
    assert row.assessed_at is not None
    assert row.assessed_at.date().isoformat() == "2026-11-29"


def test_line_that_is_given_again_adds_nothing(
    config: Path, received: Reception, tmp_path: Path
) -> None:
    run(config, table(tmp_path, f"{ACCESSION},1"))
    result = run(config, table(tmp_path, f"{ACCESSION},1", f"{ACCESSION},0"))

    assert "1 kept, 1 known before" in result.output
    assert [one.decision for one in received.rows(Assessment)] == ["positive", "negative"]


def test_ledger_does_not_hold_the_accession_number(
    config: Path, received: Reception, tmp_path: Path
) -> None:
    run(config, table(tmp_path, f"{ACCESSION},1"))

    with received.database.reading() as session:
        (digest,) = session.scalars(select(AccessionDigest.digest))
        kept = session.scalars(select(Assessment)).one()
    assert ACCESSION not in f"{digest} {vars(kept)}"
    assert len(digest) == 64


def test_study_can_be_named_by_its_uid(config: Path, received: Reception, tmp_path: Path) -> None:
    lines = table(tmp_path, f"{STUDY_UID},negative", heading="study_instance_uid,truth")

    assert run(config, lines).exit_code == 0
    assert len(received.rows(Assessment)) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("OTHER,1,", "no study of the ledger has it"),
        (f"{ACCESSION},perhaps,", "truth is none of"),
        (",1,", "no value for accession_number"),
        (f"{ACCESSION},1,yesterday", "date is no date"),
        (f"{'9' * 65},1,", "longer than 64"),
    ],
)
def test_line_that_is_wrong_is_named_and_the_others_are_kept(
    config: Path, received: Reception, tmp_path: Path, line: str, words: str
) -> None:
    file = table(tmp_path, line, f"{ACCESSION},0,", heading="accession_number,truth,date")

    result = run(config, file)

    assert result.exit_code == 1
    assert "line 2: " in result.output
    assert words in result.output
    assert len(received.rows(Assessment)) == 1


def test_accession_number_of_two_studies_is_of_neither(
    config: Path, received: Reception, tmp_path: Path
) -> None:
    received.receive(
        mammogram(AccessionNumber=ACCESSION, StudyInstanceUID="1.2.3.4", SOPInstanceUID="1.2.3.4.5")
    )

    result = run(config, table(tmp_path, f"{ACCESSION},1"))

    assert "several studies have it: give study_instance_uid" in result.output
    assert received.rows(Assessment) == []


@pytest.mark.parametrize("heading", ["accession_number", "truth", "patient,truth"])
def test_table_without_the_columns_is_refused(config: Path, tmp_path: Path, heading: str) -> None:
    result = run(config, table(tmp_path, "a,b", heading=heading))

    assert result.exit_code == 1
    assert "the first line must name truth, and" in result.output


def test_all_that_is_kept_is_written_to_a_table(
    config: Path, received: Reception, tmp_path: Path
) -> None:
    out = tmp_path / "assessments.csv"

    result = run(config, table(tmp_path, f"{ACCESSION},1"), "--out", out)

    assert "1 row in" in result.output
    with out.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["study"], row["decision"]) == (STUDY_UID, "positive")


def test_command_without_anything_to_do_says_so(config: Path) -> None:
    assert "give a file of what turned out to be true, or --out" in run(config).output


def test_erased_study_leaves_no_assessment(
    config: Path, received: Reception, tmp_path: Path
) -> None:
    run(config, table(tmp_path, f"{ACCESSION},1"))
    with received.database.writing() as session:
        study_row(session, "1.2.3.99")
        erase_study(session, STUDY_UID, force=True, at=received.study().last_received_at)

    assert received.rows(Assessment) == []
    with received.database.reading() as session:
        assert list(session.scalars(select(AccessionDigest.digest))) == []
