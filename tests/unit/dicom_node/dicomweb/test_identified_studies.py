"""A search by identifiers finds studies that are older than those whose headers are read."""

import pytest
from node_factory import STUDY_UID, Reception, mammogram

from dicom_node.dicomweb import reading
from dicom_node.dicomweb.reading import Shelf
from dicom_node.dicomweb.searching import query_of
from dicom_node.studies.ledger.identifiers.keeping import forget_all


@pytest.fixture
def shelf(reception: Reception, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Return three studies, of which only the newest one would be looked at."""
    monkeypatch.setattr(reading, "LOOKED_AT", 1)
    for number in range(3):
        image = mammogram(
            StudyInstanceUID=f"{STUDY_UID}.{number}",
            SOPInstanceUID=f"{STUDY_UID}.5.{number}",
            AccessionNumber=f"A{number}",
            StudyDate=f"2026030{number + 1}",
            PatientID=f"ID {number}",
            PatientName=f"Quell-{number}^Ottilie",
        )
        assert reception.receive(image) is not None
    return Shelf(reception.database, reception.spool)


@pytest.mark.parametrize(
    "query",
    [
        {"AccessionNumber": "A0"},
        {"00100020": "ID 0"},
        {"PatientID": "ID 0*"},
        {"PatientName": "quell-0*"},
        {"PatientName": "Quell-0^Ott?lie"},
        {"StudyDate": "20260301"},
        {"StudyDate": "-20260301"},
        {"AccessionNumber": "A0", "PatientName": "*"},
    ],
)
def test_older_study_is_found_by_its_identifiers(shelf: Shelf, query: dict[str, str]) -> None:
    found, is_cut = shelf.studies(query_of(query.items()), "")

    assert [one["0020000D"]["Value"][0] for one in found] == [f"{STUDY_UID}.0"]
    assert not is_cut


@pytest.mark.parametrize(
    "query",
    [{"AccessionNumber": "a0"}, {"AccessionNumber": "A0", "PatientID": "ID 1"}, {"PatientID": "0"}],
)
def test_headers_decide_whether_it_matches(shelf: Shelf, query: dict[str, str]) -> None:
    found, _ = shelf.studies(query_of(query.items()), "")

    assert found == []


def test_without_the_index_the_newest_studies_are_looked_at_as_before(
    shelf: Shelf, reception: Reception
) -> None:
    with reception.database.writing() as session:
        forget_all(session)

    assert shelf.studies(query_of({"AccessionNumber": "A0"}.items()), "") == ([], True)
    found, _ = shelf.studies(query_of({"AccessionNumber": "A2"}.items()), "")
    assert len(found) == 1
