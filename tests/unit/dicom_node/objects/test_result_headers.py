"""Patient and study are copied as they are, or no object is written."""

import io

import pydicom
import pytest
from objects_factory import NEGATIVE, bytes_of, identity, image_of, mammogram, results_of
from pydicom.dataset import Dataset
from study_cases import CASES

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.modules.copied_attributes import TYPE_2_KEYWORDS

NAMES = {
    "Japanese name": "Yamada^Hanako=山田^花子=やまだ^はなこ",
    "Chinese name": "Wang^XiaoDong=王^小东",
    "Cyrillic name": "Иванова^Анна",
    "Latin-1 name": "Müller^Åsa",
}


def read_back(dataset: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(bytes_of(dataset)))


def report_for(**attributes: object) -> Dataset:
    dataset = read_back(with_file_meta(mammogram(**attributes)))
    results = results_of((dataset, image_of(dataset, NEGATIVE)))
    return read_back(results[-1].dataset)


def with_file_meta(dataset: Dataset) -> Dataset:
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return dataset


@pytest.mark.parametrize("case", NAMES)
def test_name_is_read_back_in_every_script(case: str) -> None:
    for result in CASES[case]():
        assert str(read_back(result.dataset).PatientName) == NAMES[case]


def test_name_keeps_its_very_bytes() -> None:
    name = "Yamada^Hanako=山田^花子=やまだ^はなこ"
    source = with_file_meta(mammogram(name=name, charset=["", "ISO 2022 IR 87"]))

    report = report_for(name=name, charset=["", "ISO 2022 IR 87"])

    before = read_back(source).get_item("PatientName").value
    assert report.get_item("PatientName").value == before


def test_missing_type_2_attributes_are_written_empty() -> None:
    report = report_for(without=("PatientSex", "StudyID", "AccessionNumber", "StudyTime"))

    assert all(keyword in report for keyword in TYPE_2_KEYWORDS)
    assert [report.PatientSex, report.StudyID, report.AccessionNumber] == ["", "", ""]


def test_study_keeps_what_ties_it_to_the_patient() -> None:
    report = report_for(IssuerOfPatientID="HOSPITAL", PatientAge="065Y", StudyDescription="Screen")

    copied = (report.IssuerOfPatientID, report.PatientAge, report.StudyDescription)
    assert copied == ("HOSPITAL", "065Y", "Screen")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "OTHER"),
        ("PatientName", "Other^Person"),
        ("PatientBirthDate", "19700101"),
        ("IssuerOfPatientID", "ELSEWHERE"),
        ("PatientSex", "O"),
        ("AccessionNumber", "ACC-2"),
    ],
)
def test_patient_who_is_spelt_in_two_ways_is_named_in_one(keyword: str, value: str) -> None:
    first, second = mammogram("CC"), mammogram("MLO", **{keyword: value})

    results = results_of(*((one, image_of(one, NEGATIVE)) for one in (first, second)))

    assert {str(result.dataset.get(keyword)) for result in results} == {value}


def test_patient_is_named_as_by_the_image_that_tells_the_most() -> None:
    first, second = mammogram("CC"), mammogram("MLO", PatientID="", PatientBirthDate="")

    results = results_of(*((one, image_of(one, NEGATIVE)) for one in (first, second)))

    assert {result.dataset.PatientID for result in results} == {first.PatientID}


def test_text_is_written_in_the_characters_of_the_image_that_names_the_patient() -> None:
    first = mammogram("CC", name="M\u00fcller^Anja", charset="ISO_IR 100")
    second = mammogram("MLO", name="M\u00dcLLER^ANJA", charset="ISO_IR 192")

    results = results_of(*((one, image_of(one, NEGATIVE)) for one in (first, second)))

    named = {str(read_back(result.dataset).PatientName) for result in results}
    assert named == {"M\u00dcLLER^ANJA"}


def test_sources_of_two_patients_are_refused() -> None:
    first = mammogram("CC")
    second = mammogram("MLO", name="Other^Person", PatientID="OTHER", PatientBirthDate="19700101")
    pairs = [(dataset, image_of(dataset, NEGATIVE)) for dataset in (first, second)]

    with pytest.raises(ObjectRefusedError, match="different patients") as refusal:
        results_of(*pairs)

    assert "OTHER" not in str(refusal.value)


def test_source_of_another_study_is_refused() -> None:
    first, second = mammogram("CC"), mammogram("MLO", StudyInstanceUID="1.2.840.9")
    pairs = [(dataset, image_of(dataset, NEGATIVE)) for dataset in (first, second)]

    with pytest.raises(ObjectRefusedError, match=f"{second.SOPInstanceUID}.*StudyInstanceUID"):
        results_of(*pairs)


def test_unreadable_attribute_is_left_out_rather_than_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)
    source = bytes_of(with_file_meta(mammogram(PatientWeight="65.125", WindowWidth="4096.125")))
    damaged = pydicom.dcmread(
        io.BytesIO(source.replace(b"65.125", b"65.1z5").replace(b"4096.125", b"4096.1z5"))
    )

    results = results_of((damaged, image_of(damaged, NEGATIVE)))

    assert "PatientWeight" not in results[-1].dataset


def test_trailing_delimiters_are_no_disagreement() -> None:
    first, second = mammogram("CC", name="A^B"), mammogram("MLO", name="A^B^^")

    assert results_of(*((d, image_of(d, NEGATIVE)) for d in (first, second)))


def test_source_without_series_is_refused() -> None:
    dataset = mammogram(without=("SeriesInstanceUID",))

    with pytest.raises(ObjectRefusedError, match="SeriesInstanceUID"):
        results_of((dataset, image_of(dataset, NEGATIVE)))


@pytest.mark.parametrize("case", CASES)
def test_every_object_says_that_it_is_for_research(case: str) -> None:
    for result in CASES[case]():
        contribution = result.dataset.ContributingEquipmentSequence[0].ContributionDescription
        assert "RESEARCH USE ONLY" in result.dataset.SeriesDescription
        assert "UNTRAINED DEMONSTRATION WEIGHTS" in contribution
        assert "demonstration use" in contribution


def test_long_words_are_cut_to_their_value_representation() -> None:
    dataset = mammogram()

    results = results_of(
        (dataset, image_of(dataset, NEGATIVE)), identity=identity(software_version="9" * 80)
    )

    for result in results:
        assert len(result.dataset.SeriesDescription) <= 64
        assert all(len(version) <= 64 for version in result.dataset.SoftwareVersions)
