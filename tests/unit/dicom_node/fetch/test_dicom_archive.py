"""Only what was asked for comes into the spool, whatever an archive answers."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from archive_double import STORED, ArchiveDouble, stored
from node_factory import PATIENT_ID, SOMEBODY_ELSE, STUDY_UID, encoded, four_views, mammogram
from pydicom.dataset import Dataset

from dicom_node.errors import DestinationDownError
from dicom_node.fetch.asked_for import Retrieved
from dicom_node.fetch.dicom_archive import DicomArchive
from dicom_node.fetch.found_objects import FoundStudy, OtherStudyError
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool

CLASSES = frozenset(STORED)
STUDY = FoundStudy(STUDY_UID, PATIENT_ID)
BY_UID = WantedStudy(line=2, study_instance_uid=STUDY_UID)


def changed(image: Dataset, **attributes: Any) -> Dataset:
    other = copy.deepcopy(image)
    for keyword, value in attributes.items():
        setattr(other, keyword, value)
    (other,) = stored(other)
    return other


def asking(double: ArchiveDouble, **options: Any) -> DicomArchive:
    return DicomArchive(double.destination(**options), calling_ae_title="MAMMOCLIP")


def retrieved(double: ArchiveDouble, spool: Spool, **options: Any) -> Retrieved:
    settings = ReceiveSettings(minimum_free_bytes=1)
    archive = asking(double, **options)
    objects = archive.objects(STUDY, CLASSES)
    with file_intake(settings, spool, origin="run", calling_ae_title="RUN") as intake:
        return archive.retrieve(STUDY, objects, CLASSES, intake)


def test_mammograms_of_a_study_come_as_they_are_held(spool: Spool) -> None:
    images = stored(*four_views())
    report = mammogram(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR")
    report.SeriesInstanceUID = f"{STUDY_UID}.9"

    with ArchiveDouble([*images, *stored(report)]).running() as double:
        (study,) = asking(double).studies(BY_UID)
        got = retrieved(double, spool)

    assert study == STUDY
    assert got == Retrieved(kept={image.SOPInstanceUID for image in images})
    kept = [spool.incoming_file(one).read_bytes() for one in spool.incoming()]
    assert sorted(kept, key=len)
    assert all(any(content.endswith(encoded(image)) for content in kept) for image in images)


def test_objects_of_a_kind_that_is_not_analysed_are_left_where_they_are(spool: Spool) -> None:
    flat = mammogram()
    volume = mammogram(SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3")

    with ArchiveDouble(stored(flat, volume)).running() as double:
        got = retrieved(double, spool)

    assert got.kept == {flat.SOPInstanceUID}


@pytest.mark.parametrize(
    ("wanted", "change", "reason"),
    [
        (BY_UID, {"StudyInstanceUID": "1.2.3"}, "another StudyInstanceUID"),
        (BY_UID, {"StudyInstanceUID": "../x"}, "without a StudyInstanceUID"),
        (WantedStudy(line=2, patient_id=PATIENT_ID), SOMEBODY_ELSE, "another PatientID"),
        (WantedStudy(line=2, accession_number="A1"), {"AccessionNumber": "A2"}, "another Access"),
        (
            WantedStudy(line=2, patient_id=PATIENT_ID, first_date="20260101"),
            {"StudyDate": "20250101"},
            "a study of another date",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_study_that_was_not_asked_for_is_none_of_the_answers(
    wanted: WantedStudy, change: dict[str, str], reason: str
) -> None:
    image = mammogram(AccessionNumber="A1", StudyDate="20260304")

    def others(answers: list[Dataset]) -> list[Dataset]:
        return [changed(answer, **change) for answer in answers]

    with (
        ArchiveDouble(stored(image), found=others).running() as double,
        pytest.raises(OtherStudyError, match=reason),
    ):
        asking(double).studies(wanted)


Sent = Callable[[list[Dataset]], list[Dataset]]


def another_object(images: list[Dataset]) -> list[Dataset]:
    return [changed(images[0], SOPInstanceUID="1.2.3.4"), *images]


def the_same_uid_of_another_study(images: list[Dataset]) -> list[Dataset]:
    return [changed(images[0], StudyInstanceUID="1.2.3"), *images]


def the_same_uid_of_another_patient(images: list[Dataset]) -> list[Dataset]:
    return [changed(images[0], **SOMEBODY_ELSE), *images]


def a_path(images: list[Dataset]) -> list[Dataset]:
    return [changed(images[0], SOPInstanceUID="../../escaped"), *images]


def the_same_twice(images: list[Dataset]) -> list[Dataset]:
    return [*images, changed(images[0], AccessionNumber="another")]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    "sent",
    [
        another_object,
        the_same_uid_of_another_study,
        the_same_uid_of_another_patient,
        a_path,
        the_same_twice,
    ],
)
def test_object_that_was_not_asked_for_is_refused_and_the_rest_kept(
    spool: Spool, sent: Sent
) -> None:
    image = mammogram()

    with ArchiveDouble(stored(image), sent=sent).running() as double:
        got = retrieved(double, spool)

    assert got.kept == {image.SOPInstanceUID}
    assert len(got.refused) == 1
    (receipt,) = spool.incoming()
    assert spool.incoming_file(receipt).read_bytes().endswith(encoded(image))


@pytest.mark.parametrize("status", [0xA702, 0xC001])
def test_failure_of_an_archive_whose_objects_were_refused_leaves_the_reasons(
    spool: Spool, status: int
) -> None:
    first, second = stored(*four_views())[:2]

    def another(images: list[Dataset]) -> list[Dataset]:
        is_first = any(one.SOPInstanceUID == first.SOPInstanceUID for one in images)
        return [changed(images[0], SOPInstanceUID="1.2.3.4")] if is_first else images

    double = ArchiveDouble([first, second], sent=another, status_after_refusal=status)
    with double.running():
        got = retrieved(double, spool)

    assert got.kept == {second.SOPInstanceUID}
    assert got.refused == ["the archive sent an object that was not asked for"]


def test_failure_of_an_archive_that_sent_nothing_is_told(spool: Spool) -> None:
    double = ArchiveDouble(stored(mammogram()), sent=lambda _: [], status_after_refusal=0xA702)
    with double.running(), pytest.raises(DestinationDownError, match="C-GET with 0xA702"):
        retrieved(double, spool)


def test_object_that_does_not_come_is_missing(spool: Spool) -> None:
    with ArchiveDouble(stored(*four_views()), sent=lambda _: []).running() as double:
        got = retrieved(double, spool)

    assert got.kept == set()
    assert spool.incoming() == []


def test_answers_without_end_are_given_up() -> None:
    def endless(answers: list[Dataset]) -> list[Dataset]:
        return [changed(answer, PatientComments="x" * 10_000) for answer in answers] * 300

    with (
        ArchiveDouble(stored(mammogram()), found=endless).running() as double,
        pytest.raises(DestinationDownError),
    ):
        asking(double).studies(BY_UID)


def test_archive_that_is_away_is_told_as_such() -> None:
    with pytest.raises(DestinationDownError, match="does not answer"):
        asking(ArchiveDouble([])).studies(BY_UID)
