"""What a result says of patient and study is legal; nothing is refused for the source's form."""

import io
from typing import Any

import pydicom
import pytest
from every_kind import EVERY_KIND
from objects_factory import bytes_of, finding, image_of, mammogram, marker_mask, results_of
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.objects.modules.copied_attributes import copied_attributes

TRIAL = {
    "ClinicalTrialSponsorName": "Sponsor",
    "ClinicalTrialProtocolID": "P-1",
    "ClinicalTrialSubjectID": "S-7",
}


def with_raw(dataset: Dataset, keyword: str, value: bytes, vr: str = "") -> Dataset:
    """Give an attribute the very bytes that a file may hold, legal or not."""
    tag = Tag(keyword)
    vr = vr or pydicom.datadict.dictionary_VR(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return dataset


def copied_from(keyword: str, value: bytes, **attributes: Any) -> Dataset:
    return copied_attributes(with_raw(mammogram(**attributes), keyword, value))


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def code(**changes: Any) -> Dataset:
    return item(
        **{"CodeValue": "1", "CodingSchemeDesignator": "99X", "CodeMeaning": "M", **changes}
    )


@pytest.mark.parametrize(
    ("keyword", "stated", "legal"),
    [
        ("PatientBirthDate", b"1960.01.31", "19600131"),
        ("PatientBirthDate", b"1960-01-31", "19600131"),
        ("StudyDate", b"1993/04/30", "19930430"),
        ("StudyTime", b"10:15:00", "101500"),
        ("StudyTime", b"101500.1234567", "101500.123456"),
        ("PatientBirthTime", b"07:30", "0730"),
        ("PatientAge", b"65Y ", "065Y"),
        ("PatientAge", b"65y ", "065Y"),
        ("PatientSex", b"f ", "F"),
        ("PatientSex", b"FEMALE", "F"),
        ("PatientSize", b"1,65", 1.65),
        ("PatientWeight", b"64.12345678901234567 ", 64.1234567890124),
        ("StudyDescription", b"Screening \0", "Screening"),
        ("SpecificCharacterSet", b"ISO_IR_100", "ISO_IR 100"),
        ("SpecificCharacterSet", b"ISO-IR 100", "ISO_IR 100"),
        ("SpecificCharacterSet", b"ISO 8859-1", "ISO_IR 100"),
        ("SpecificCharacterSet", b"iso_ir 192", "ISO_IR 192"),
        ("SpecificCharacterSet", b"ISO 2022 IR 87", ["", "ISO 2022 IR 87"]),
        (
            "SpecificCharacterSet",
            b"ISO_IR 100\\ISO_IR 144",
            ["ISO 2022 IR 100", "ISO 2022 IR 144"],
        ),
        ("SpecificCharacterSet", b"ISO_IR 192\\ISO 2022 IR 87", "ISO_IR 192"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_value_with_one_legal_form_is_given_it(keyword: str, stated: bytes, legal: Any) -> None:
    assert copied_from(keyword, stated)[keyword].value == legal


@pytest.mark.parametrize(
    ("keyword", "stated"),
    [
        ("SpecificCharacterSet", b""),
        ("SpecificCharacterSet", b"KLINGON"),
        ("PatientBirthTime", b"25"),
        ("PatientAge", b"65"),
        ("PatientAge", b"old "),
        ("PatientSize", b"tall"),
        ("PatientSize", b"NaN "),
        ("PatientWeight", b"65\\66 "),
        ("StudyDescription", b"x" * 66),
        ("StudyDescription", b"two\\values"),
        ("StudyDescription", b"two\r\nlines "),
        ("EthnicGroup", b"x" * 18),
        ("InstitutionName", b"x" * 66),
        ("PatientComments", b"a\x07bell"),
        ("QualityControlSubject", b"PERHAPS "),
        ("TypeOfPatientID", b"GUESS "),
        ("PatientIdentityRemoved", b"YES "),
        ("PhysiciansOfRecord", b"a=b=c=d "),
        ("PhysiciansOfRecord", b"x" * 66),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_value_without_one_legal_form_is_left_out(keyword: str, stated: bytes) -> None:
    assert keyword not in copied_from(keyword, stated)


@pytest.mark.parametrize(
    ("keyword", "stated"),
    [
        ("PatientBirthDate", b"00000000"),
        ("PatientBirthDate", b"19600231"),
        ("PatientBirthDate", b"19600101-19610101 "),
        ("PatientBirthDate", b"UNKNOWN "),
        ("PatientSex", b"W "),
        ("StudyTime", b"2460"),
        ("StudyID", b"x" * 18),
        ("ReferringPhysicianName", b"x" * 66),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_type_2_value_without_one_legal_form_is_empty(keyword: str, stated: bytes) -> None:
    assert not copied_from(keyword, stated)[keyword].value


@pytest.mark.parametrize(
    ("keyword", "stated"),
    [
        ("PatientID", b"7" * 70),
        ("PatientName", b"x" * 70),
        ("AccessionNumber", b"2026-01-02-000017"),
        ("IssuerOfPatientID", b"x" * 66),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_ties_a_result_to_its_images_is_copied_as_it_stands(
    keyword: str, stated: bytes
) -> None:
    assert str(copied_from(keyword, stated)[keyword].value) == stated.decode()


def test_text_of_an_unknown_character_set_is_left_out_but_for_the_name() -> None:
    dataset = mammogram(charset=None, name="Müller^Anna", StudyDescription="Früherkennung")
    dataset.ReferringPhysicianName = "Über^Arzt"

    copied = copied_attributes(dataset)

    assert "StudyDescription" not in copied
    assert copied.ReferringPhysicianName == ""
    assert copied.PatientName == "Müller^Anna"


def test_legal_values_are_copied_as_they_are() -> None:
    dataset = mammogram(StudyDescription="Screening", PatientAge="065Y", PatientWeight="65.5")
    dataset.ProcedureCodeSequence = [code()]

    copied = copied_attributes(dataset)

    for keyword in ("StudyDescription", "PatientAge", "PatientWeight", "ProcedureCodeSequence"):
        assert copied[keyword] == dataset[keyword]


@pytest.mark.parametrize(
    ("keyword", "broken"),
    [
        ("ProcedureCodeSequence", code(CodeMeaning="")),
        ("ProcedureCodeSequence", code(CodingSchemeDesignator="")),
        ("ProcedureCodeSequence", item(CodeMeaning="Mammography")),
        ("ReferencedStudySequence", item(ReferencedSOPInstanceUID="1.2.3")),
        ("ReferencedStudySequence", item(ReferencedSOPClassUID="1.2.3")),
        ("OtherPatientIDsSequence", item(PatientID="7")),
        ("OtherPatientIDsSequence", item(TypeOfPatientID="TEXT")),
        ("IssuerOfAccessionNumberSequence", item()),
        ("IssuerOfAccessionNumberSequence", item(UniversalEntityID="1.2.3")),
        ("IssuerOfAdmissionIDSequence", item(UniversalEntityIDType="ISO")),
        ("ReferringPhysicianIdentificationSequence", item(InstitutionName="Hospital")),
        (
            "ReferringPhysicianIdentificationSequence",
            item(PersonIdentificationCodeSequence=[code(CodeMeaning="")], InstitutionName="H"),
        ),
        ("DeidentificationMethodCodeSequence", code(CodeMeaning="")),
    ],
)
def test_item_without_its_type_1_attributes_is_left_out(keyword: str, broken: Dataset) -> None:
    assert keyword not in copied_attributes(mammogram(**{keyword: [broken]}))


def test_whole_items_of_a_sequence_stay_beside_a_broken_one() -> None:
    dataset = mammogram(ProcedureCodeSequence=[code(CodeMeaning=""), code(CodeValue="2")])

    assert [one.CodeValue for one in copied_attributes(dataset).ProcedureCodeSequence] == ["2"]


@pytest.mark.filterwarnings("ignore")
def test_code_of_more_than_16_characters_becomes_a_long_code() -> None:
    long = with_raw(code(), "CodeValue", b"MAMMOGRAPHY-BOTH-BREASTS")

    (copied,) = copied_attributes(mammogram(ProcedureCodeSequence=[long])).ProcedureCodeSequence

    assert copied.LongCodeValue == "MAMMOGRAPHY-BOTH-BREASTS"
    assert "CodeValue" not in copied


def test_removed_identity_is_told_with_its_method() -> None:
    told = mammogram(PatientIdentityRemoved="YES", DeidentificationMethod="Basic profile")
    coded = mammogram(PatientIdentityRemoved="YES", DeidentificationMethodCodeSequence=[code()])

    for source in (told, coded):
        assert copied_attributes(source).PatientIdentityRemoved == "YES"


def test_clinical_trial_is_copied_with_its_type_2_attributes() -> None:
    source = mammogram(
        **TRIAL,
        ClinicalTrialTimePointDescription="Baseline",
        ClinicalTrialCoordinatingCenterName="Center",
        ClinicalTrialSeriesID="of the images alone",
    )

    copied = copied_attributes(source)

    assert {keyword: copied[keyword].value for keyword in TRIAL} == TRIAL
    assert (copied.ClinicalTrialProtocolName, copied.ClinicalTrialSiteID) == ("", "")
    assert (copied.ClinicalTrialTimePointID, copied.ClinicalTrialSiteName) == ("", "")
    assert copied.ClinicalTrialTimePointDescription == "Baseline"
    assert copied.ClinicalTrialCoordinatingCenterName == "Center"
    assert "ClinicalTrialSeriesID" not in copied


@pytest.mark.parametrize("missing", TRIAL)
def test_clinical_trial_without_its_type_1_attributes_is_left_out(missing: str) -> None:
    stated = {keyword: value for keyword, value in TRIAL.items() if keyword != missing}

    copied = copied_attributes(mammogram(**stated))

    assert not [element for element in copied if element.keyword.startswith("ClinicalTrial")]


@pytest.mark.filterwarnings("ignore")
def test_dates_in_two_forms_are_no_disagreement_between_images() -> None:
    first = mammogram("CC", PatientBirthDate="19600131", PatientSex="F")
    second = with_raw(mammogram("MLO"), "PatientBirthDate", b"1960.01.31")
    with_raw(second, "PatientSex", b"FEMALE")
    pairs = [(one, image_of(one, finding(marker_mask(60, 150)))) for one in (first, second)]

    assert results_of(*pairs)


@pytest.mark.filterwarnings("ignore")
def test_every_object_of_an_illegal_source_is_read_strictly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = mammogram(charset=None)
    for keyword, value in {
        "SpecificCharacterSet": b"",
        "PatientBirthDate": b"1993.04.30",
        "StudyTime": b"10:15",
        "PatientSex": b"female",
        "PatientAge": b"65",
        "PatientWeight": b"65,5",
        "StudyID": b"1" * 20,
        "StudyDescription": b"x" * 80,
        "PatientIdentityRemoved": b"YES ",
        "AdmissionID": b"a\x00b\x07",
    }.items():
        with_raw(dataset, keyword, value)
    dataset.RequestAttributesSequence = [with_raw(item(), "RequestedProcedureID", b"9" * 30)]
    dataset.ProcedureCodeSequence = [item(CodeMeaning="Mammography")]
    results = results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))), profiles=(EVERY_KIND,)
    )
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)

    for result in results:
        read = pydicom.dcmread(io.BytesIO(bytes_of(result.dataset)))
        assert [type(element) for element in read.iterall()].count(DataElement) > 50
        assert read.PatientBirthDate == "19930430"
