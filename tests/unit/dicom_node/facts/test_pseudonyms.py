"""Pseudonyms are the same for the same identifier, and tell nothing without the key."""

import pytest
from objects_factory import STUDY_UID, image_of, mammogram, study_of
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.facts.pseudonymised_header import (
    analysis_of,
    may_name_the_patient,
    pseudonymised,
)
from dicom_node.facts.pseudonyms import Pseudonyms
from mammoclip_core.findings import StudyAnalysis

PSEUDONYMS = Pseudonyms(b"k" * 32)
OTHER_NODE = Pseudonyms(b"q" * 32)
NAMING = ("Quellwasser", "TEST-1", "ACC-1", "19600101", "20260102", "Klinik", "Doctor", STUDY_UID)


def test_equal_identifiers_have_one_pseudonym_under_one_key() -> None:
    assert PSEUDONYMS.uid("1.2.3.4") == Pseudonyms(b"k" * 32).uid("1.2.3.4")
    assert PSEUDONYMS.uid("1.2.3.4") != PSEUDONYMS.uid("1.2.3.5")
    assert PSEUDONYMS.uid("1.2.3.4") != OTHER_NODE.uid("1.2.3.4")
    assert PSEUDONYMS.word("PatientID", "7") != PSEUDONYMS.word("AccessionNumber", "7")
    assert UID(PSEUDONYMS.uid("1.2.3.4")).is_valid
    assert (PSEUDONYMS.uid(""), PSEUDONYMS.word("PatientID", "")) == ("", "")
    assert PSEUDONYMS.uid("1.2.840.10008.1.2.1") == "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("around", ["{}", "instance {} failed", "{}, {}", "({})", "x{}."])
def test_uids_within_a_text_are_replaced(around: str) -> None:
    text = around.replace("{}", STUDY_UID)
    if around == "x{}.":
        text = f"of {STUDY_UID}: no view"

    assert STUDY_UID not in PSEUDONYMS.text(text)
    assert PSEUDONYMS.uid(STUDY_UID) in PSEUDONYMS.text(text)


def test_row_of_a_table_names_no_study_and_no_file() -> None:
    row = {"study": STUDY_UID, "file": "/data/Quellwasser/1.dcm", "score": 0.5, "line": 2}

    assert PSEUDONYMS.row(row) == {
        "study": PSEUDONYMS.uid(STUDY_UID),
        "file": None,
        "score": 0.5,
        "line": 2,
    }
    assert PSEUDONYMS.row({"reason": "version 1.2.3"}) == {"reason": "version 1.2.3"}


def header() -> Dataset:
    made = mammogram(
        name="Quellwasser^Ottilie",
        InstitutionName="Klinik",
        OperatorsName="Doctor",
        PatientComments="Quellwasser",
        StudyDescription="Quellwasser TEST-1",
        ProtocolName="TEST-1",
        DeviceSerialNumber="ACC-1",
        AcquisitionDate="20260102",
        IssuerOfPatientID="Klinik",
    )
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = made.SOPClassUID, STUDY_UID
    source.PatientName = "Quellwasser"
    made.SourceImageSequence = [source]
    private = made.private_block(0x0019, "Klinik", create=True)
    private.add_new(0x01, "LO", "TEST-1")
    made.ViewCodeSequence[0].add_new(0x00081070, "PN", "Doctor")
    return made


def test_header_keeps_the_image_and_nothing_of_the_patient() -> None:
    made = pseudonymised(header(), PSEUDONYMS)

    told = str(made)
    assert not [word for word in NAMING if word in told]
    assert made.StudyInstanceUID == PSEUDONYMS.uid(STUDY_UID)
    assert made.PatientID == PSEUDONYMS.word("PatientID", "TEST-1")
    assert made.PatientIdentityRemoved == "YES"
    kept = ("Rows", "Columns", "ImageLaterality", "ViewPosition", "ImagerPixelSpacing", "Modality")
    assert all(made.get(keyword) == header().get(keyword) for keyword in kept)
    assert made.ViewCodeSequence[0].CodeValue == header().ViewCodeSequence[0].CodeValue


def test_answer_speaks_of_the_same_images_as_the_headers() -> None:
    source = header()
    answer = StudyAnalysis(findings=study_of(image_of(source, reason=f"as {STUDY_UID} says")))

    made = analysis_of(answer, PSEUDONYMS).findings

    other = pseudonymised(source, PSEUDONYMS)
    assert made.study_instance_uid == other.StudyInstanceUID
    assert made.images[0].sop_instance_uid == other.SOPInstanceUID
    assert STUDY_UID not in made.images[0].reason


def test_words_burnt_into_pixels_are_noticed() -> None:
    burnt, plain = header(), header()
    burnt.BurnedInAnnotation = "YES"

    assert may_name_the_patient({"1": burnt, "2": plain}) == ["1"]
