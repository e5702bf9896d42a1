"""Erasing as a person types it: what goes, what is asked, what is recorded."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from node_factory import (
    FAMILY_NAME,
    NOW,
    PATIENT_ID,
    SOMEBODY_ELSE,
    Reception,
    analysis_row,
    claimed,
    finished,
    made_result,
    mammogram,
    put,
    second_node,
)
from sqlalchemy import inspect, select, text
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.errors import OvertakenError
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.spool.files.folder_markers import MARKER
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.states import DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study
from dicom_node.studies.retention import Retention

IN_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

UID, OTHER = "1.2.826.0.1.3680043.8.498.83", "1.2.826.0.1.3680043.8.498.84"


@pytest.fixture
def config(tmp_path: Path, reception: Reception) -> Path:
    """Return the settings of a site that holds a delivered study and another patient's."""
    reception.receive(mammogram(StudyInstanceUID=UID, SOPInstanceUID=f"{UID}.1"))
    reception.receive(mammogram(StudyInstanceUID=UID, without=["ImageLaterality"]))
    reception.receive(mammogram(StudyInstanceUID=OTHER, **SOMEBODY_ELSE))
    with reception.database.writing() as session:
        for study in session.scalars(select(Study).order_by(Study.id)):
            study.state = StudyState.SETTLED
            analysis = analysis_row(session, study)
            place = reception.spool.keep_result(b"a result", analysis.id, 0, "000-report")
            made = made_result(sop_instance_uid=f"{study.study_instance_uid}.7", place=place)
            (delivery,) = finished(session, analysis, made)
            outcomes.finish_delivery(session, claimed(session, delivery), at=NOW)
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(f'spool = "spool"\n[ledger]\nurl = "{url}"\n')
    return file


def erase(config: Path, *arguments: str, typed: str | None = None) -> Result:
    command = ["erase", *arguments, "--config", str(config)]
    return CliRunner().invoke(app, command, input=typed)


def everything_in(reception: Reception) -> str:
    """Return every value of the ledger and every name in the spool as text."""
    with reception.database.reading() as session:
        tables = inspect(session.connection()).get_table_names()
        rows = [row for one in tables for row in session.execute(text(f"SELECT * FROM {one}"))]
    made_by_a_start = {"node.lock", MARKER}
    files = (file for file in reception.spool.root.rglob("*") if file.name not in made_by_a_start)
    names = [str(file) for file in files]
    return "\n".join(map(str, [*rows, *names]))


def test_nothing_that_identifies_an_erased_study_is_left(
    config: Path, reception: Reception
) -> None:
    places = [row.place for row in reception.instances()]
    images = {row.content_sha256 for row in reception.instances() if row.study_id == 1}
    folder = Path(places[0]).parent.name

    done = erase(config, UID, "--yes")

    assert done.exit_code == 0, done.output
    assert "1 image, 1 result, 1 object set aside" in done.stdout
    assert "results were delivered to archive" in done.stdout
    left = everything_in(reception)
    for word in (UID, folder, *images):
        assert word not in left
    assert OTHER in left
    assert len(reception.files("studies")) == len(reception.files("results")) == 1
    assert reception.files("set-aside") == []
    assert UID not in CliRunner().invoke(app, ["studies", "--config", str(config)]).stdout
    assert "is not in the ledger" in erase(config, UID, "--yes").stderr


@IN_SQLITE
def test_record_says_what_was_erased_and_names_no_patient(
    config: Path, reception: Reception
) -> None:
    erase(config, UID, "--yes")

    file = reception.spool.root / "erased.jsonl"
    begun, erased = map(json.loads, file.read_text().splitlines())
    assert (begun["step"], erased["step"]) == ("begun", "erased")
    assert erased["study_instance_uid"] == UID
    assert (erased["images"], erased["set_aside"], erased["results"]) == (1, 1, 1)
    assert erased["delivered_to"] == ["archive"]
    assert PATIENT_ID not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@IN_SQLITE
def test_dry_run_changes_nothing(config: Path, reception: Reception) -> None:
    before = everything_in(reception)

    done = erase(config, UID, "--dry-run")

    assert done.exit_code == 0
    assert "1 image, 1 result, 1 object set aside" in done.stdout
    assert everything_in(reception) == before


@IN_SQLITE
@pytest.mark.parametrize("typed", ["n\n", ""])
def test_nothing_is_erased_without_a_yes(config: Path, reception: Reception, typed: str) -> None:
    before = everything_in(reception)

    assert erase(config, UID, typed=typed).exit_code == 1

    assert everything_in(reception) == before


def test_patient_is_asked_for_and_found_by_digest(config: Path, reception: Reception) -> None:
    put(reception.spool, mammogram(StudyInstanceUID=f"{UID}.5"))

    done = erase(config, "--patient", "--yes", typed=f"{PATIENT_ID}\n")

    assert done.exit_code == 0, done.output
    left = everything_in(reception)
    # What had not been registered yet is among it.
    assert f"study {UID}.5: 1 image" in done.stdout
    assert UID not in left
    assert OTHER in left
    assert FAMILY_NAME not in done.output
    unknown = erase(config, "--patient", "--yes", typed="NOBODY-1\n")
    assert "no study in the ledger has this Patient ID" in unknown.stderr
    assert "NOBODY-1" not in unknown.stderr


@IN_SQLITE
def test_study_and_patient_are_not_named_together(config: Path) -> None:
    for arguments in ((UID, "--patient"), ()):
        assert "name one study, or give --patient" in erase(config, *arguments).stderr


@IN_SQLITE
def test_study_of_two_patients_is_erased_by_its_uid_alone(
    config: Path, reception: Reception
) -> None:
    reception.receive(mammogram(StudyInstanceUID=UID, **SOMEBODY_ELSE))

    done = erase(config, "--patient", "--yes", typed=f"{PATIENT_ID}\n")

    assert "holds images of another patient as well" in done.stderr
    assert UID in everything_in(reception)
    assert erase(config, UID, "--yes").exit_code == 0


def test_study_under_way_is_erased_by_force_alone(config: Path, reception: Reception) -> None:
    with reception.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == UID)).one()
        analysis = analysis_row(session, study, revision=2)
        held = claimed(session, analysis)
        reception.spool.keep_result(b"half a result", analysis.id, held.version, "000-report")

    refused = erase(config, UID, "--yes")
    assert refused.exit_code == 1
    assert "analysis of revision 2 is running. Wait until" in refused.stderr
    done = erase(config, UID, "--yes", "--force")

    assert done.exit_code == 0, done.output
    assert len(reception.files("results")) == 1
    with pytest.raises(OvertakenError), reception.database.writing() as session:
        outcomes.finish_analysis(
            session, held, findings="{}", bundle="", results=[], destinations=[], at=NOW
        )
    assert reception.rows(Analysis)[-1].findings is None


@IN_SQLITE
def test_delivery_under_way_is_given_up_by_force(config: Path, reception: Reception) -> None:
    with reception.database.writing() as session:
        row = session.get_one(Delivery, 1)
        row.state = DeliveryState.SENDING

    assert "delivery to archive is sending" in erase(config, UID, "--yes").stderr
    assert erase(config, UID, "--yes", "--force").exit_code == 0

    assert reception.rows(Delivery)[0].state is DeliveryState.EXPIRED


@IN_SQLITE
def test_erased_study_that_is_sent_again_is_a_new_one(config: Path, reception: Reception) -> None:
    erase(config, UID, "--yes")

    row = reception.receive(mammogram(StudyInstanceUID=UID, SOPInstanceUID=f"{UID}.1"))

    assert row is not None
    assert row.reason == ""
    assert reception.study(UID).state is StudyState.OPEN


@IN_SQLITE
def test_files_are_left_to_the_node_that_runs(
    config: Path, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.commands.operate.erase._LONGEST_WAIT_SECONDS", 0.1)

    with reception.spool.owned():
        done = erase(config, UID, "--yes")

    assert done.exit_code == 1
    assert "not all files are deleted yet" in done.stderr
    assert UID not in everything_in(reception).replace("erased.jsonl", "")
    assert len(reception.files("set-aside")) == 1
    Retention(
        reception.spool, reception.database, RetentionSettings(), clock=lambda: NOW
    ).delete_marked()
    assert reception.files("set-aside") == []


@IN_SQLITE
def test_erasing_says_what_another_node_is_still_to_delete(
    config: Path, reception: Reception, tmp_path: Path
) -> None:
    other = second_node(reception, tmp_path / "other")
    other.receive(mammogram("CC", StudyInstanceUID=UID))
    kept = other.files("studies")

    done = erase(config, UID, "--yes", "--force")

    assert done.exit_code == 0, done.output
    assert "1 file of it still in the spool of another node" in done.stdout
    assert f":{other.spool.root}" in done.stdout
    assert other.files("studies") == kept
    other.registrar.register_all()
    Retention(other.spool, other.database, RetentionSettings(), clock=lambda: NOW).step()
    assert other.files("studies") == []
