"""A result names every request that its images answer, each once and with its issuer."""

from typing import Any

import pydicom
import pytest
from every_kind import EVERY_KIND
from objects_factory import NEGATIVE, image_of, mammogram, results_of
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.facts.result_kinds import ResultKind


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def issuer(name: str) -> list[Dataset]:
    return [item(LocalNamespaceEntityID=name)]


def results_for(*sources: Dataset) -> dict[ResultKind, Dataset]:
    pairs = [(source, image_of(source, NEGATIVE)) for source in sources]
    return {one.kind: one.dataset for one in results_of(*pairs, profiles=(EVERY_KIND,))}


def requests_of(*sources: Dataset) -> list[Dataset]:
    made = results_for(*sources)
    reports = [made[ResultKind.MEASUREMENT_REPORT], made[ResultKind.CAD_REPORT]]
    first, second = (report.get("ReferencedRequestSequence", []) for report in reports)
    assert list(first) == list(second)
    return list(first)


def test_every_request_of_every_image_is_named_once() -> None:
    requests = [
        item(RequestedProcedureID="RP-1", AccessionNumber="ACC-1"),
        item(RequestedProcedureID="RP-2", AccessionNumber="ACC-2"),
    ]
    first = mammogram("CC", RequestAttributesSequence=requests)
    second = mammogram(
        "MLO", RequestAttributesSequence=[requests[1], item(RequestedProcedureID="RP-3")]
    )

    named = [(one.AccessionNumber, one.RequestedProcedureID) for one in requests_of(first, second)]

    assert named == [("ACC-1", "RP-1"), ("ACC-2", "RP-2"), ("ACC-1", "RP-3")]


def test_request_is_named_with_who_issued_its_numbers() -> None:
    own = item(
        RequestedProcedureID="RP-2",
        AccessionNumber="ACC-2",
        IssuerOfAccessionNumberSequence=issuer("OTHER"),
        OrderPlacerIdentifierSequence=issuer("WARD"),
        PlacerOrderNumberImagingServiceRequest="P-1",
    )
    source = mammogram(
        IssuerOfAccessionNumberSequence=issuer("RIS"),
        RequestAttributesSequence=[item(RequestedProcedureID="RP-1"), own],
    )

    study, other = requests_of(source)

    assert study.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "RIS"
    assert other.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "OTHER"
    assert other.OrderPlacerIdentifierSequence[0].LocalNamespaceEntityID == "WARD"
    assert other.PlacerOrderNumberImagingServiceRequest == "P-1"


def test_request_of_another_study_keeps_its_study() -> None:
    request = item(RequestedProcedureID="RP-1", StudyInstanceUID="1.2.3")

    (named,) = requests_of(mammogram(RequestAttributesSequence=[request]))

    assert named.StudyInstanceUID == "1.2.3"


def test_images_without_request_answer_the_one_of_their_accession_number() -> None:
    (named,) = requests_of(mammogram("CC"), mammogram("MLO"))

    assert (named.AccessionNumber, named.RequestedProcedureID) == ("ACC-1", "")
    assert named.RequestedProcedureCodeSequence == []


def test_image_without_request_names_no_second_one_beside_another_that_does() -> None:
    full = mammogram("MLO", RequestAttributesSequence=[item(RequestedProcedureID="RP-1")])

    (named,) = requests_of(mammogram("CC"), full)

    assert named.RequestedProcedureID == "RP-1"


def test_nothing_is_named_where_nothing_is_known() -> None:
    assert requests_of(mammogram(AccessionNumber="")) == []
    assert requests_of(mammogram(AccessionNumber="", RequestAttributesSequence=[])) == []


@pytest.mark.filterwarnings("ignore")
def test_requested_procedure_id_of_30_characters_is_left_out() -> None:
    tag, value = Tag("RequestedProcedureID"), b"9" * 30
    request = item(RequestedProcedureDescription="Screening")
    request[tag] = RawDataElement(tag, "SH", len(value), value, 0, False, True)

    (named,) = requests_of(mammogram(RequestAttributesSequence=[request]))

    assert (named.RequestedProcedureID, named.AccessionNumber) == ("", "ACC-1")
    assert named.RequestedProcedureDescription == "Screening"


def test_pictures_and_segmentations_carry_the_request_of_their_image() -> None:
    request = item(RequestedProcedureID="RP-1", ScheduledProcedureStepID="of the exposure")

    made = results_for(mammogram(RequestAttributesSequence=[request]))

    for kind, dataset in made.items():
        if kind.row.is_report:
            assert "RequestAttributesSequence" not in dataset
        else:
            (copied,) = dataset.RequestAttributesSequence
            assert copied.RequestedProcedureID == "RP-1"
            assert "ScheduledProcedureStepID" not in copied


@pytest.mark.parametrize("value", [None, [], [Dataset()]], ids=["null", "empty", "hollow"])
def test_request_without_content_breaks_nothing(value: Any) -> None:
    assert requests_of(mammogram(RequestAttributesSequence=value))


def test_report_names_the_procedure_that_was_performed() -> None:
    mammography = item(
        CodeValue="71651007", CodingSchemeDesignator="SCT", CodeMeaning="Mammography"
    )

    report = results_for(mammogram(ProcedureCodeSequence=[mammography]))[ResultKind.CAD_REPORT]

    assert report.PerformedProcedureCodeSequence == [mammography]
    assert pydicom.sr.codedict.codes.SCT.Mammography.value == "71651007"


def test_measurement_report_calls_its_procedure_what_validators_take() -> None:
    report = results_for(mammogram())[ResultKind.MEASUREMENT_REPORT]

    (reported,) = [
        item
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "121058"
    ]

    assert reported.ConceptCodeSequence[0].CodeMeaning == "Imaging procedure"
