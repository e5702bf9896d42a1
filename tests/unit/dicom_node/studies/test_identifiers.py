"""The index of identifiers is as true, and lives as long, as the files of a study."""

from typing import Any

import pytest
from node_factory import (
    NOW,
    PATIENT_ID,
    STUDY_UID,
    Reception,
    four_views,
    mammogram,
)
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.facts.identifiers import Identifiers, folded
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.studies.ledger.arrival.registering import confirm_removed
from dicom_node.studies.ledger.identifiers.identifier_table import StudyIdentifiers
from dicom_node.studies.ledger.identifiers.keeping import forget_all, identifiers_of
from dicom_node.studies.ledger.removal.erasing import erase_study

ACCESSION = "A-2026-0417"


def known(reception: Reception) -> list[Identifiers]:
    with reception.database.reading() as session:
        ids = list(session.scalars(select(StudyIdentifiers.study_id).distinct()))
        return list(identifiers_of(session, ids).values())


def examination(**attributes: Any) -> list[Dataset]:
    return four_views(AccessionNumber=ACCESSION, StudyDate="20260304", **attributes)


def test_study_is_known_by_what_its_images_say(reception: Reception) -> None:
    for image in examination():
        reception.receive(image)

    assert known(reception) == [
        Identifiers(
            accession_number=ACCESSION,
            patient_id=PATIENT_ID,
            patient_name="Quellwasser^Ottilie",
            birth_date="19470302",
            study_date="20260304",
        )
    ]
    assert len(reception.rows(StudyIdentifiers)) == 1  # not one for each image


def test_corrected_images_take_the_former_identifiers_with_them(reception: Reception) -> None:
    images = examination()
    for image in images:
        reception.receive(image)
    for image in images:
        image.PatientID, image.AccessionNumber = "RICHTIG-1", "A-RIGHT"
        reception.receive(image)
    reception.registrar.register_all()  # deletes what gave way

    (row,) = reception.rows(StudyIdentifiers)
    assert (row.patient_id, row.accession_number) == ("RICHTIG-1", "A-RIGHT")


def test_half_corrected_study_is_known_by_its_newest_image(reception: Reception) -> None:
    images = examination()
    for image in images:
        reception.receive(image)
    images[0].PatientID = "RICHTIG-1"
    reception.receive(images[0])

    (found,) = known(reception)
    assert found.patient_id == "RICHTIG-1"


def test_image_of_another_patient_that_is_set_aside_renames_no_study(
    reception: Reception,
) -> None:
    for image in examination():
        reception.receive(image)
    reception.receive(mammogram(PatientID="FREMD-1", PatientName="Anders^Wer"))

    (found,) = known(reception)
    assert found.patient_id == PATIENT_ID


def test_identifiers_go_with_the_last_file(reception: Reception) -> None:
    for image in examination():
        reception.receive(image)
    ids = [row.id for row in reception.instances()]

    with reception.database.writing() as session:
        confirm_removed(session, ids[:3])
    assert len(known(reception)) == 1
    with reception.database.writing() as session:
        confirm_removed(session, ids[3:])

    assert reception.rows(StudyIdentifiers) == []


def test_erased_study_has_none_at_once(reception: Reception) -> None:
    for image in examination():
        reception.receive(image)

    with reception.database.writing() as session:
        erase_study(session, STUDY_UID, force=True, at=NOW)

    assert reception.rows(StudyIdentifiers) == []
    assert {row.identifiers_id for row in reception.instances()} == {None}


def test_nothing_is_kept_where_that_is_switched_off(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Registrar.__init__
    monkeypatch.setattr(
        Registrar, "__init__", lambda *a, **k: built(*a, **{**k, "keeps_identifiers": False})
    )
    reception.receive(examination()[0])

    assert reception.rows(StudyIdentifiers) == []


def test_all_are_forgotten_once_they_are_no_longer_wanted(reception: Reception) -> None:
    reception.receive(examination()[0])

    with reception.database.writing() as session:
        assert forget_all(session) == 1

    assert reception.rows(StudyIdentifiers) == []
    assert {row.identifiers_id for row in reception.instances()} == {None}


def test_phantom_of_the_canary_is_nobody(reception: Reception) -> None:
    reception.receive(mammogram(StudyInstanceUID=CANARY_STUDY))

    assert reception.rows(StudyIdentifiers) == []


def test_nothing_of_them_is_logged(reception: Reception, log_lines: list[Any]) -> None:
    for image in examination():
        reception.receive(image)

    text = str(log_lines)
    assert log_lines
    assert not [word for word in (ACCESSION, PATIENT_ID, "Quellwasser") if word in text]


@pytest.mark.parametrize(
    ("keyword", "value", "kept"),
    [
        ("AccessionNumber", "  A1 ", "A1"),
        ("AccessionNumber", ["A1", "A2"], "A1"),
        ("AccessionNumber", None, ""),
        ("PatientID", "x\x1b[31m\r\ny", "x [31m  y"),
        ("PatientID", "9" * 64, "9" * 64),
    ],
)
def test_values_are_kept_as_printable_text(keyword: str, value: Any, kept: str) -> None:
    dataset = Dataset()
    with pytest.MonkeyPatch.context():
        setattr(dataset, keyword, value)

    name = {"AccessionNumber": "accession_number", "PatientID": "patient_id"}[keyword]
    assert getattr(Identifiers.of(dataset), name) == kept


@pytest.mark.parametrize(
    ("date", "kept"), [("19470302", "19470302"), ("1947.03.02", "19470302"), ("", "")]
)
def test_dates_are_eight_digits(date: str, kept: str) -> None:
    assert Identifiers.of(_with_date(date)).birth_date == kept


def _with_date(date: str) -> Dataset:
    dataset = Dataset()
    dataset.add_new("PatientBirthDate", "LO", date)
    return dataset


def test_texts_are_compared_without_capitals_accents_and_marks_between_names() -> None:
    assert folded("MÜLLER^Anna^=") == folded("Muller, anna") == "muller anna"
