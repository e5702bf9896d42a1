"""What was registered before there was an index is entered into it afterwards."""

from node_factory import HEADERS, PATIENT_ID, Reception, four_views, mammogram

from dicom_node.receive.registration import indexing
from dicom_node.receive.registration.indexing import Indexing
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.identifiers.identifier_table import StudyIdentifiers
from dicom_node.studies.ledger.identifiers.keeping import forget_all


def indexing_of(reception: Reception, **ledger: bool) -> Indexing:
    settings = Settings(spool=reception.spool.root, ledger=ledger)
    return Indexing(
        settings, reception.spool, reception.database, is_ready=lambda: True, headers=HEADERS
    )


def received_before(reception: Reception) -> None:
    for image in four_views(AccessionNumber="A17"):
        assert reception.receive(image) is not None
    with reception.database.writing() as session:
        forget_all(session)


def test_images_of_an_earlier_release_are_read_again_in_portions(
    reception: Reception, monkeypatch
) -> None:
    monkeypatch.setattr(indexing, "PORTION", 3)
    received_before(reception)
    one = indexing_of(reception)

    for _ in range(4):
        one.step()

    (row,) = reception.rows(StudyIdentifiers)
    assert (row.patient_id, row.accession_number) == (PATIENT_ID, "A17")
    assert {image.identifiers_id for image in reception.instances()} == {row.id}


def test_image_whose_file_is_gone_is_passed_over(reception: Reception) -> None:
    received_before(reception)
    for file in reception.files("studies"):
        file.unlink()
    one = indexing_of(reception)

    one.step()
    one.step()

    assert reception.rows(StudyIdentifiers) == []


def test_all_are_forgotten_where_none_are_wanted(reception: Reception) -> None:
    reception.receive(mammogram())
    assert reception.rows(StudyIdentifiers)

    indexing_of(reception, identifiers=False).step()

    assert reception.rows(StudyIdentifiers) == []
