"""What is noted of each answer to watch the model by: equipment and scores, and no patient."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydicom.dataset import Dataset
from unit.dicom_node.node_factory import PATIENT_WORDS, STUDY_UID, Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.monitoring.notes import notes, observation_of
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.monitoring.threshold_sets import accept, propose, withdraw
from dicom_node.studies.ledger.removal.erasing import erase_study
from dicom_node.studies.ledger.states import AnalysisState
from worker.analyze.answer_notes import fingerprint_of
from worker.runtime import Runtime

SCANNER = {
    "Manufacturer": "Maker",
    "ManufacturerModelName": "Model 3",
    "DeviceSerialNumber": "S-1",
    "SoftwareVersions": ["2.1", "build 7"],
    "StudyDate": "20260304",
}
EQUIPMENT = Fingerprint("Maker", "Model 3", "S-1", "2.1\\build 7")
BUNDLE = f"stand-in 1 {'ab' * 32}"


def analysed(node: Runtime, reception: Reception, **attributes: Any) -> MonitorNote:
    for laterality in "LR":
        reception.receive(shown_mammogram(laterality=laterality, **{**SCANNER, **attributes}))
    assert run_analysis(node, due_analysis(reception)).state is AnalysisState.DONE
    (note,) = reception.rows(MonitorNote)
    return note


def test_answer_is_noted_with_its_equipment_and_scores(node: Runtime, reception: Reception) -> None:
    note = analysed(node, reception)

    assert Fingerprint(note.manufacturer, note.model, note.serial, note.software) == EQUIPMENT
    assert (note.bundle, note.flagged, note.images, note.left_out) == (BUNDLE, True, 2, 0)
    assert (note.sender, note.presentation, note.age_band) == ("SCANNER", "2D", "70-79")
    assert json.loads(note.scores) == {"mass": [0.9, True]}
    assert json.loads(note.pixels) == {"mean_grey": 0.4}
    assert json.loads(note.views) == {"mass": {"L-MLO": 0.9, "R-MLO": 0.9}}
    seen = observation_of(note, late_after_seconds=1e9)
    assert (seen.flagged, seen.asymmetry, seen.late) == (True, 0.0, False)
    assert seen.equipment.scanner == "Maker Model 3 S-1"


def test_note_names_no_patient(node: Runtime, reception: Reception) -> None:
    note = analysed(node, reception)

    row = {column.key: getattr(note, column.key) for column in note.__mapper__.columns}
    assert not any(word in str(row) for word in PATIENT_WORDS)


@pytest.mark.parametrize(
    "attributes",
    [
        {"SoftwareVersions": "x" * 64, "ManufacturerModelName": ""},
        {"PatientAge": "012M", "PatientBirthDate": ""},
        {"PatientAge": "200Y"},
        {"Manufacturer": "M\u00e4ker"},
    ],
)
def test_odd_headers_are_noted_and_stop_no_answer(
    node: Runtime, reception: Reception, attributes: dict[str, Any]
) -> None:
    assert analysed(node, reception, **attributes).images == 2


def test_header_that_is_missing_has_an_empty_fingerprint() -> None:
    assert fingerprint_of(None) == fingerprint_of(Dataset()) == Fingerprint()
    assert Fingerprint().scanner == "unknown"


def test_accepted_thresholds_judge_the_next_answer_and_withdrawn_ones_do_not(
    node: Runtime, reception: Reception
) -> None:
    now = datetime.now(UTC)
    with reception.database.writing() as session:
        number = propose(
            session,
            EQUIPMENT,
            BUNDLE,
            thresholds={"mass": 0.95},
            facts={},
            by="anna",
            at=now,
        )
    note = analysed(node, reception)
    assert (note.threshold_set, node.engine.requests[-1].thresholds) == (0, {})

    with reception.database.writing() as session:
        accept(session, number, by="anna", at=now)
    run_analysis(node, due_analysis(reception))
    assert node.engine.requests[-1].thresholds == {"mass": 0.95}
    assert reception.rows(MonitorNote)[-1].threshold_set == number

    with reception.database.writing() as session:
        withdraw(session, number, by="anna", at=now)
    run_analysis(node, due_analysis(reception))
    assert node.engine.requests[-1].thresholds == {}


def test_revisions_of_a_study_count_once(node: Runtime, reception: Reception) -> None:
    analysed(node, reception)
    run_analysis(node, due_analysis(reception))

    with reception.database.reading() as session:
        (newest,) = notes(session)
    assert newest.analysis_id == reception.rows(MonitorNote)[-1].analysis_id
    assert len(reception.rows(MonitorNote)) == 2


def test_erased_study_leaves_no_note(node: Runtime, reception: Reception) -> None:
    analysed(node, reception)

    with reception.database.writing() as session:
        erase_study(session, STUDY_UID, at=datetime.now(UTC), force=True)

    assert reception.rows(MonitorNote) == []
