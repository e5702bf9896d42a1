"""Items of a report are those of highdicom's templates, and no two reports share one."""

from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from every_kind import objects_of
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.cad_sr.snomed_rt import use_legacy_codes
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Relationship
from dicom_node.objects.elements.small_datasets import dataset_of
from dicom_node.objects.terms.codes import CALCIFICATION, LESION, coded
from dicom_node.objects.writing import write_object

HAS_PROPERTIES = hd.sr.RelationshipTypeValues.HAS_PROPERTIES


def encoded(item: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, item)
    return buffer.getvalue()


def alone(item: content_tree.Item) -> Dataset:
    """Return an item as it stands in a tree."""
    root = content_tree.container(Relationship.CONTAINS, LESION, [item])
    return content_tree.assembled(root).ContentSequence[0]


OURS_AND_THEIRS = {
    "code": (
        content_tree.code(Relationship.HAS_PROPERTIES, LESION, CALCIFICATION),
        hd.sr.CodeContentItem(LESION, CALCIFICATION, HAS_PROPERTIES),
    ),
    "text": (
        content_tree.text(Relationship.HAS_PROPERTIES, LESION, r"a \ backslash and é"),
        hd.sr.TextContentItem(LESION, r"a \ backslash and é", HAS_PROPERTIES),
    ),
    "number": (
        content_tree.floating_number(
            Relationship.HAS_PROPERTIES, LESION, 1 / 3, dictionary.UCUM.Percent
        ),
        hd.sr.NumContentItem(
            LESION, 1 / 3, dictionary.UCUM.Percent, relationship_type=HAS_PROPERTIES
        ),
    ),
    "UID": (
        content_tree.uid(Relationship.HAS_PROPERTIES, LESION, "1.2.3"),
        hd.sr.UIDRefContentItem(LESION, "1.2.3", HAS_PROPERTIES),
    ),
    "image": (
        content_tree.image(Relationship.HAS_PROPERTIES, "1.2", "1.2.3", [2, 7], concept=LESION),
        hd.sr.ImageContentItem(LESION, "1.2", "1.2.3", [2, 7], relationship_type=HAS_PROPERTIES),
    ),
    "frame": (
        content_tree.image(Relationship.HAS_PROPERTIES, "1.2", "1.2.3", [2], concept=LESION),
        hd.sr.ImageContentItem(LESION, "1.2", "1.2.3", [2], relationship_type=HAS_PROPERTIES),
    ),
    "object": (
        content_tree.composite(Relationship.HAS_PROPERTIES, "1.2", "1.2.3", concept=LESION),
        hd.sr.CompositeContentItem(LESION, "1.2", "1.2.3", relationship_type=HAS_PROPERTIES),
    ),
    "container": (
        content_tree.container(
            Relationship.HAS_PROPERTIES, LESION, continuity="CONTINUOUS", template="1410"
        ),
        hd.sr.ContainerContentItem(LESION, template_id="1410", relationship_type=HAS_PROPERTIES),
    ),
}


@pytest.mark.parametrize("kind", OURS_AND_THEIRS)
def test_item_is_the_one_of_highdicom(kind: str) -> None:
    ours, theirs = OURS_AND_THEIRS[kind]

    assert encoded(alone(ours)) == encoded(theirs)


def test_region_is_written_as_by_the_template_of_highdicom() -> None:
    """Build TID 1410 again by the library's own template, from what ours says."""
    report = next(
        one.dataset
        for one in objects_of("many findings")
        if one.kind is ResultKind.MEASUREMENT_REPORT
    )
    measurements = next(
        item
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == dictionary.DCM.ImagingMeasurements.value
    )
    ours = measurements.ContentSequence[0]
    by_name = {one.ConceptNameCodeSequence[0].CodeValue: one for one in ours.ContentSequence}
    texts = [one.TextValue for one in ours.ContentSequence if one.ValueType == "TEXT"]
    numbers = [one for one in ours.ContentSequence if one.ValueType == "NUM"]
    region = by_name["111030"]
    image = region.ContentSequence[0].ReferencedSOPSequence[0]
    algorithm = hd.sr.AlgorithmIdentification(name=texts[1], version=texts[2], parameters=texts[3:])
    algorithm.append(
        hd.sr.CodeContentItem(
            dictionary.DCM.AlgorithmFamily,
            dictionary.DCM.ArtificialIntelligence,
            hd.sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
    )
    theirs = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=by_name["112040"].UID, identifier=texts[0]
        ),
        finding_type=_code(by_name["121071"].ConceptCodeSequence),
        finding_sites=[hd.sr.FindingSite(dictionary.SCT.Breast, laterality=dictionary.SCT.Left)],
        algorithm_id=algorithm,
        method=_code(by_name["370129005"].ConceptCodeSequence),
        measurements=[
            hd.sr.Measurement(
                name=_code(one.ConceptNameCodeSequence),
                value=one.MeasuredValueSequence[0].FloatingPointValue,
                unit=dictionary.UCUM.Percent,
            )
            for one in numbers
        ],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(
                _code(by_name["lesion_number"].ConceptNameCodeSequence),
                _code(by_name["lesion_number"].ConceptCodeSequence),
            )
        ],
        referenced_region=hd.sr.ImageRegion(
            hd.sr.GraphicTypeValues.POLYLINE,
            np.reshape(region.GraphicData, (-1, 2)),
            hd.sr.SourceImageForRegion(image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID),
        ),
    )[0]
    for item in theirs.ContentSequence:
        # TID 1410 relates the method so; highdicom 0.28 writes CONTAINS.
        if item.name == dictionary.SCT.MeasurementMethod:
            item.RelationshipType = "HAS CONCEPT MOD"

    assert encoded(ours) == encoded(theirs)


def _code(sequence: object) -> Code:
    (item,) = sequence
    return Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)


def test_change_of_a_coded_item_changes_no_other() -> None:
    first, second = coded(LESION), coded(LESION)

    first.CodeMeaning = "changed"

    assert second.CodeMeaning == coded(LESION).CodeMeaning == LESION.meaning


def test_codes_that_differ_in_their_meaning_are_told_apart() -> None:
    meanings = [coded(Code("1", "99TEST", words)).CodeMeaning for words in ("one", "two", "one")]

    assert meanings == ["one", "two", "one"]


def test_values_of_a_code_with_a_backslash_are_not_shared() -> None:
    code = Code("1", "99TEST", "a\\b")
    coded(code).CodeMeaning.append("c")

    assert list(coded(code).CodeMeaning) == ["a", "b"]


def test_legacy_codes_of_one_report_stay_in_it() -> None:
    breast = dictionary.SCT.Breast
    use_legacy_codes(
        dataset_of(ConceptCodeSequence=[coded(breast), coded(Code("80248007", "SCT", "x"))])
    )

    assert coded(Code("80248007", "SCT", "x")).CodingSchemeDesignator == "SCT"


@pytest.mark.parametrize("kind", [ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT])
def test_reports_of_a_process_share_no_element(kind: ResultKind) -> None:
    first, second = (
        {
            id(element)
            for one in objects_of(study)
            if one.kind is kind
            for element in _all(one.dataset)
        }
        for study in ("many findings", "one finding")
    )

    assert not first & second
    assert len(first) > 100


@pytest.mark.parametrize("kind", [ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT])
def test_no_element_stands_twice_in_a_report(kind: ResultKind) -> None:
    (report,) = (one.dataset for one in objects_of("many findings") if one.kind is kind)
    elements = list(_all(report))

    assert len({id(element) for element in elements}) == len(elements)


def _all(dataset: Dataset):
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from _all(item)


def test_keyword_of_no_attribute_is_a_mistake() -> None:
    with pytest.raises(AttributeError, match="CodeMeening"):
        dataset_of(CodeMeening="x")


def test_object_is_written_twice_alike() -> None:
    report = objects_of("one finding")[-1].dataset
    first, second = BytesIO(), BytesIO()

    write_object(report, first)
    write_object(report, second)

    assert first.getvalue() == second.getvalue()
