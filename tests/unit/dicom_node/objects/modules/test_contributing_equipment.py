"""Every result says what made it: the software of which installation, with which algorithm."""

from typing import Any

from every_kind import EVERY_KIND, box_of, boxed
from objects_factory import (
    BUNDLE,
    NEGATIVE,
    finding,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)
from pydicom.dataset import Dataset

from dicom_node.facts.own_result import MANUFACTURER
from dicom_node.facts.result_kinds import ResultKind
from mammoclip_core.findings import Finding, ImageStatus

NOT_MADE = {ResultKind.ATTENTION_SEGMENTATION, ResultKind.REJECTION_NOTE}
"""There is no heatmap, and no former revision to retract."""


def objects_of(*findings: Finding, number: str = "NODE-1", **attributes: Any) -> list[Dataset]:
    dataset = mammogram(**attributes)
    results = results_of(
        (dataset, image_of(dataset, *(findings or (finding(marker_mask(60, 150)),)))),
        identity=identity(device_serial_number=number),
        profiles=(EVERY_KIND,),
    )
    assert {one.kind for one in results} == set(ResultKind) - NOT_MADE
    return [one.dataset for one in results]


def test_every_object_has_an_item_for_the_software_and_one_for_the_algorithm() -> None:
    for one in objects_of():
        software, algorithm = one.ContributingEquipmentSequence
        purposes = [item.PurposeOfReferenceCodeSequence[0] for item in (software, algorithm)]
        assert [code.CodeValue for code in purposes] == ["109102", "Newcode1"]
        assert purposes[1].CodingSchemeDesignator == "99IHE"
        assert (algorithm.ManufacturerModelName, algorithm.SoftwareVersions) == (
            BUNDLE.name,
            BUNDLE.version,
        )
        assert software.DeviceUID == algorithm.DeviceUID


def test_other_weights_are_another_device() -> None:
    assert identity().device_uid != identity(software_version="0.2.0").device_uid
    other = identity(bundle=BUNDLE.__class__(**{**_fields(), "sha256": "ef" * 32}))
    assert identity().device_uid != other.device_uid
    assert identity().weights_number != other.weights_number


def _fields() -> dict[str, str]:
    return {name: getattr(BUNDLE, name) for name in BUNDLE.__slots__}


def test_serial_number_is_of_the_installation_and_not_of_the_weights() -> None:
    for one in objects_of(number="NODE-7"):
        software, algorithm = one.ContributingEquipmentSequence
        assert one.DeviceSerialNumber == software.DeviceSerialNumber == "NODE-7"
        assert algorithm.DeviceSerialNumber == BUNDLE.sha256[:16]


def test_private_coding_schemes_are_identified_in_every_object() -> None:
    of_labels = []
    for one in objects_of():
        schemes = {
            item.CodingSchemeDesignator: item.CodingSchemeResponsibleOrganization
            for item in one.CodingSchemeIdentificationSequence
        }
        of_labels.append(schemes.pop("99MAMMOCLIP", ""))
        assert schemes == {"99IHE": "IHE Radiology"}
    assert set(of_labels) == {"", MANUFACTURER}


def test_private_codes_of_bundle_and_source_are_told_apart() -> None:
    private = finding(marker_mask(60, 150), code="99MINE|1|Something")
    code, scheme = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "MG", "99RIS", "Screening"
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = "99RIS", "Codes of the RIS"

    objects = objects_of(
        private, ProcedureCodeSequence=[code], CodingSchemeIdentificationSequence=[scheme]
    )

    named = [
        {item.CodingSchemeDesignator: item for item in one.CodingSchemeIdentificationSequence}
        for one in objects
    ]
    assert all(schemes["99RIS"].CodingSchemeName == "Codes of the RIS" for schemes in named)
    reports = [schemes for schemes in named if "99MINE" in schemes]
    assert reports
    for schemes in reports:
        assert BUNDLE.name in schemes["99MINE"].CodingSchemeName


def test_private_codes_of_the_source_are_not_said_to_be_the_bundles() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "MG", "99RIS", "Screening"

    for one in objects_of(ProcedureCodeSequence=[code]):
        schemes = {
            item.CodingSchemeDesignator: item for item in one.CodingSchemeIdentificationSequence
        }
        assert "CodingSchemeName" not in schemes["99RIS"]


def test_segment_of_a_detector_is_called_a_box() -> None:
    labels = {
        segment.SegmentLabel
        for one in objects_of(boxed(box_of(60.0, 150.0, 100.0, 198.0, 0.71)))
        for segment in one.get("SegmentSequence", [])
    }

    assert labels == {"1 AI detector box: mass"}


def test_segment_of_attention_is_called_an_attention_region() -> None:
    labels = {
        segment.SegmentLabel for one in objects_of() for segment in one.get("SegmentSequence", [])
    }

    assert labels == {"1 AI attention region: mass"}


def test_report_says_of_how_many_images_it_is() -> None:
    good, bad = mammogram("CC"), mammogram("MLO")
    failure = image_of(bad, status=ImageStatus.FAILED, reason="cut off")

    whole = results_of((good, image_of(good, NEGATIVE)))[-1].dataset
    partial = results_of((good, image_of(good, NEGATIVE)), (bad, failure))[-1].dataset

    assert (whole.CompletionFlag, whole.CompletionFlagDescription) == (
        "COMPLETE",
        "Images analyzed: 1",
    )
    assert (partial.CompletionFlag, partial.CompletionFlagDescription) == (
        "PARTIAL",
        "Images analyzed: 1, failed: 1",
    )


def test_report_names_the_family_of_its_algorithm() -> None:
    dataset = mammogram()
    report = results_of((dataset, image_of(dataset, finding(marker_mask(60, 150)))))[-1].dataset

    named = [group for group in items_in(report) if concepts_of(group) & {"111001"}]

    assert named
    for group in named:
        (family,) = [
            item.ConceptCodeSequence[0].CodeMeaning
            for item in group.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue == "111000"
        ]
        assert family == "Artificial Intelligence"


def items_in(dataset: Dataset) -> list[Dataset]:
    children = list(dataset.get("ContentSequence", []))
    return children + [item for child in children for item in items_in(child)]


def concepts_of(dataset: Dataset) -> set[str]:
    return {
        item.ConceptNameCodeSequence[0].CodeValue
        for item in dataset.get("ContentSequence", [])
        if "ConceptNameCodeSequence" in item
    }
