"""Images and results are found and retrieved by clients of others (PS3.18 10.4, 10.6)."""

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from files_on_disk import dicom_file
from node_factory import (
    COMPREHENSIVE_SR,
    PATIENT_ID,
    STUDY_UID,
    Reception,
    analysis_row,
    encoded,
    four_views,
    mammogram,
    put,
    result_row,
)
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from sqlalchemy import select
from web_factory import TOKEN, Serve, Served

from dicom_node.spool.names import Receipt
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Study

OTHER_STUDY = "1.2.826.0.1.3680043.8.498.99"
VIEWS = four_views(AccessionNumber="A17", StudyDate="20260304")
VIEWS[0].PixelData = np.arange(16, dtype="<u2").tobytes()
TWO_FRAMES = mammogram(
    "CC", StudyInstanceUID=OTHER_STUDY, AccessionNumber="A18", StudyDate="20250101"
)
CODESTREAMS = (b"\xff\x4f\xff\x51first.", b"\xff\x4f\xff\x51second")
JPEG_2000 = "1.2.840.10008.1.2.4.90"


def report(number: int) -> Dataset:
    made = mammogram(SOPClassUID=COMPREHENSIVE_SR, Modality="SR", without=["PixelData"])
    made.SeriesInstanceUID = f"{STUDY_UID}.3"
    made.SOPInstanceUID = f"{STUDY_UID}.3.{number}"
    return made


@pytest.fixture(scope="module")
def shelf(serve: Serve) -> Iterator[Served]:
    """Return a service with two studies: one with results of two analyses."""
    served = serve(
        {"name": "viewer", "token": TOKEN, "may": ["read"]},
        {"name": "router", "token": TOKEN[::-1], "may": ["store"]},
        origins=["https://viewer.example"],
    )
    with closing(Database(served.ledger_url)) as database:
        database.migrate()
        reception = Reception(served.spool, database)
        TWO_FRAMES.NumberOfFrames = 2
        TWO_FRAMES.PixelData = encapsulate(list(CODESTREAMS))
        TWO_FRAMES["PixelData"].is_undefined_length = True
        put(served.spool, TWO_FRAMES, transfer_syntax=JPEG_2000)
        for view in VIEWS:
            put(served.spool, view)
        put(served.spool, mammogram(without=["ImageLaterality"]))
        reception.registrar.register_all()
        with database.writing() as session:
            study = session.scalars(
                select(Study).where(Study.study_instance_uid == STUDY_UID)
            ).one()
            for revision in (1, 2):
                made = report(revision)
                place = f"results/{revision}.dcm"
                (served.spool.root / place).write_bytes(dicom_file(made))
                analysis = analysis_row(session, study, revision=revision, state=AnalysisState.DONE)
                result_row(
                    session,
                    analysis,
                    place=place,
                    sop_instance_uid=made.SOPInstanceUID,
                    series_instance_uid=made.SeriesInstanceUID,
                )
        yield served


@pytest.fixture(scope="module")
def client(shelf: Served) -> Iterator[DICOMwebClient]:
    with requests.Session() as session:
        yield DICOMwebClient(
            shelf.url, session=session, headers={"Authorization": f"Bearer {TOKEN}"}
        )


def get(shelf: Served, path: str, **headers: str) -> requests.Response:
    named = {"Authorization": f"Bearer {TOKEN}", **headers}
    return requests.get(f"{shelf.url}/{path}", headers=named, timeout=30)


def studies(client: DICOMwebClient, **filters: str) -> list[str]:
    found = client.search_for_studies(search_filters=filters)
    return [one["0020000D"]["Value"][0] for one in found]


def test_study_is_listed_with_what_is_held_of_it(client: DICOMwebClient) -> None:
    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": STUDY_UID})

    assert found["00100020"]["Value"] == [PATIENT_ID]
    assert found["00080061"]["Value"] == ["MG", "SR"]
    assert (found["00201206"]["Value"], found["00201208"]["Value"]) == ([2], [5])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {STUDY_UID, OTHER_STUDY}),
        ({"PatientID": PATIENT_ID}, {STUDY_UID, OTHER_STUDY}),
        ({"PatientID": "KLINIK"}, set()),
        ({"PatientName": "quell*"}, {STUDY_UID, OTHER_STUDY}),
        ({"AccessionNumber": "A17"}, {STUDY_UID}),
        ({"AccessionNumber": "A1?"}, {STUDY_UID, OTHER_STUDY}),
        ({"00080050": "A18"}, {OTHER_STUDY}),
        ({"StudyDate": "20260101-20261231"}, {STUDY_UID}),
        ({"StudyDate": "-20251231"}, {OTHER_STUDY}),
        ({"ModalitiesInStudy": "SR"}, {STUDY_UID}),
        ({"StudyInstanceUID": f"{STUDY_UID},1.2.3"}, {STUDY_UID}),
        ({"StudyInstanceUID": "1.2.3"}, set()),
    ],
)
def test_studies_are_searched_for(
    client: DICOMwebClient, filters: dict[str, str], expected: set[str]
) -> None:
    assert set(studies(client, **filters)) == expected


def test_answers_come_page_by_page(client: DICOMwebClient) -> None:
    pages = [client.search_for_studies(limit=1, offset=offset) for offset in range(3)]

    assert [len(page) for page in pages] == [1, 1, 0]
    assert pages[0] != pages[1]


def test_series_and_instances_are_listed(client: DICOMwebClient) -> None:
    series = client.search_for_series(STUDY_UID)
    images = client.search_for_instances(STUDY_UID, series[0]["0020000E"]["Value"][0])

    assert [one["00080060"]["Value"] for one in series] == [["MG"], ["SR"]]
    assert [one["00201209"]["Value"] for one in series] == [[4], [1]]
    assert {one["00080018"]["Value"][0] for one in images} == {v.SOPInstanceUID for v in VIEWS}


def test_results_are_those_of_the_newest_analysis(client: DICOMwebClient) -> None:
    (found,) = client.search_for_instances(STUDY_UID, f"{STUDY_UID}.3")

    assert found["00080018"]["Value"] == [f"{STUDY_UID}.3.2"]


def test_metadata_hold_every_attribute_and_where_the_pixels_are(client: DICOMwebClient) -> None:
    view = VIEWS[0]

    (found,) = (
        client.retrieve_instance_metadata(STUDY_UID, view.SeriesInstanceUID, view.SOPInstanceUID),
    )

    read = Dataset.from_json({tag: e for tag, e in found.items() if tag != "7FE00010"})
    assert all(read[element.tag] == element for element in view if element.tag != 0x7FE00010)
    assert found["7FE00010"]["BulkDataURI"].endswith(f"{view.SOPInstanceUID}/frames")


def test_objects_are_retrieved_as_they_are_stored(client: DICOMwebClient) -> None:
    found = client.retrieve_study(STUDY_UID)

    assert {one.SOPInstanceUID for one in found} == {
        *(view.SOPInstanceUID for view in VIEWS),
        f"{STUDY_UID}.3.2",
    }
    (image,) = [one for one in found if one.SOPInstanceUID == VIEWS[0].SOPInstanceUID]
    assert encoded(image) == encoded(VIEWS[0])


def test_frame_of_an_uncompressed_image_is_its_pixels(client: DICOMwebClient) -> None:
    view = VIEWS[0]

    (frame,) = client.retrieve_instance_frames(
        STUDY_UID, view.SeriesInstanceUID, view.SOPInstanceUID, [1]
    )

    assert frame == view.PixelData


def test_frame_of_a_compressed_image_is_its_codestream(shelf: Served) -> None:
    path = f"studies/{OTHER_STUDY}/series/{TWO_FRAMES.SeriesInstanceUID}/instances"
    accept = "multipart/related; type=application/octet-stream; transfer-syntax=*"

    answer = get(shelf, f"{path}/{TWO_FRAMES.SOPInstanceUID}/frames/2,1", Accept=accept)

    parts = answer.content.split(b"\r\n\r\n")
    assert b"image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90" in parts[0]
    assert [part.partition(b"\r\n--")[0].rstrip(b"\0") for part in parts[1:3]] == [
        CODESTREAMS[1],
        CODESTREAMS[0],
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("studies/1.2.3/series/1.2.3", 404),
        ("studies/../../etc/passwd", 404),
        ("studies/..%2f..%2fetc/metadata", 404),
        (f"studies/{STUDY_UID}/series/{VIEWS[0].SeriesInstanceUID}/instances/9.9/frames/1", 404),
        ("studies?limit=many", 400),
        ("studies?NoSuchAttribute=1", 400),
    ],
)
def test_what_is_not_there_is_not_found(shelf: Served, path: str, status: int) -> None:
    assert get(shelf, path).status_code == status


@pytest.mark.parametrize("frames", ["0", "2", "1,2", "x", "1,", "-1"])
def test_frame_that_is_none_is_not_found(shelf: Served, frames: str) -> None:
    view = VIEWS[0]
    path = f"studies/{STUDY_UID}/series/{view.SeriesInstanceUID}/instances/{view.SOPInstanceUID}"

    assert get(shelf, f"{path}/frames/{frames}").status_code == 404


@pytest.mark.parametrize("path", ["studies", f"studies/{STUDY_UID}", f"studies/{STUDY_UID}/series"])
def test_who_may_only_store_reads_nothing(shelf: Served, path: str) -> None:
    refused = get(shelf, path, Authorization=f"Bearer {TOKEN[::-1]}")
    unknown = get(shelf, path, Authorization="")

    assert (refused.status_code, unknown.status_code) == (403, 401)
    assert PATIENT_ID not in refused.text + unknown.text


def test_answers_about_patients_are_not_kept_by_browsers(shelf: Served) -> None:
    assert get(shelf, "studies").headers["Cache-Control"] == "no-store"


def test_only_web_pages_of_the_settings_may_read_by_a_browser(shelf: Served) -> None:
    own = get(shelf, "studies", Origin="https://viewer.example")
    other = get(shelf, "studies", Origin="https://attacker.example")

    assert own.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
    assert "Access-Control-Allow-Origin" not in other.headers


def test_form_that_the_node_cannot_give_is_not_acceptable(shelf: Served) -> None:
    assert get(shelf, f"studies/{STUDY_UID}", Accept="application/dicom+xml").status_code == 406


def test_file_that_is_gone_is_left_out(shelf: Served) -> None:
    one = next(
        file
        for file in (shelf.spool.root / "studies").rglob("*.dcm")
        if pydicom.dcmread(file).SOPInstanceUID == VIEWS[3].SOPInstanceUID
    )
    hidden = one.rename(one.with_suffix(".gone"))
    try:
        path = f"studies/{STUDY_UID}/series/{VIEWS[3].SeriesInstanceUID}/instances"
        assert get(shelf, f"{path}/{VIEWS[3].SOPInstanceUID}").status_code == 404
    finally:
        hidden.rename(one)
    assert Receipt.parse(one.stem) is not None
    assert pydicom.dcmread(BytesIO(one.read_bytes())).StudyInstanceUID == STUDY_UID


@pytest.fixture
def larger(shelf: Served) -> Iterator[Dataset]:
    """Return an image whose file holds more pixels for a while than the others have."""
    view = VIEWS[1]
    for file in (shelf.spool.root / "studies").rglob("*.dcm"):
        if pydicom.dcmread(file).SOPInstanceUID == view.SOPInstanceUID:
            break
    before = file.read_bytes()
    made = pydicom.dcmread(BytesIO(before))
    made.Rows, made.Columns = 96, 64
    made.PixelData = np.arange(96 * 64, dtype="<u2").tobytes()
    made.save_as(file)
    yield view
    file.write_bytes(before)


def rendered_size(answer: requests.Response) -> tuple[int, int]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/jpeg"
    with Image.open(BytesIO(answer.content)) as picture:
        return picture.size


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("rendered", (64, 96)),
        ("frames/1/rendered?viewport=48,48", (32, 48)),
        ("rendered?viewport=90000,2", (1, 2)),
        ("rendered?viewport=900000,2", None),
        ("rendered?viewport=a,b", None),
        ("frames/2/rendered", None),
        ("frames/0/rendered", None),
        ("frames/1,2/rendered", None),
    ],
)
def test_image_is_rendered_within_bounds(
    shelf: Served, larger: Dataset, path: str, size: tuple[int, int] | None
) -> None:
    place = f"studies/{STUDY_UID}/series/{larger.SeriesInstanceUID}/instances"
    place = f"{place}/{larger.SOPInstanceUID}"

    answer = get(shelf, f"{place}/{path}", Accept="image/jpeg")

    if size is None:
        assert answer.status_code in {400, 404, 406}
    else:
        assert rendered_size(answer) == size
        assert answer.headers["Cache-Control"] == "no-store"


def test_what_has_no_pixels_or_another_form_is_not_rendered(shelf: Served) -> None:
    place = f"studies/{STUDY_UID}/series/{STUDY_UID}.3/instances/{STUDY_UID}.3.2/rendered"
    view = VIEWS[0]
    image = f"studies/{STUDY_UID}/series/{view.SeriesInstanceUID}/instances/{view.SOPInstanceUID}"

    assert get(shelf, place).status_code == 406
    assert get(shelf, f"{image}/rendered", Accept="video/mp4").status_code == 406
    assert get(shelf, f"{image}/rendered", Authorization="").status_code == 401
