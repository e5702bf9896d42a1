"""Measurement reports, read back from the file that they become."""

from collections.abc import Iterator

import highdicom as hd
from objects_factory import image_of, mammogram, results_of
from pydicom.dataset import Dataset
from sr_reading import read_back
from study_cases import CASES

from mammoclip_core.findings import Finding

EVALUATIONS = hd.sr.CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")


def report_of(case: str) -> Dataset:
    """Return the report of one of the kinds of study."""
    return read_back(CASES[case]()[-1].dataset)


def report_with(*findings: Finding) -> Dataset:
    """Return the report of one image with these findings."""
    dataset = mammogram()
    return read_back(results_of((dataset, image_of(dataset, *findings)))[-1].dataset)


def items(item: Dataset) -> Iterator[Dataset]:
    """Yield every content item below this one."""
    for child in item.get("ContentSequence", []):
        yield child
        yield from items(child)


def concept_name(item: Dataset) -> tuple[str, str]:
    """Return the code of an item's concept name and its coding scheme."""
    name = item.ConceptNameCodeSequence[0]
    return name.CodeValue, name.CodingSchemeDesignator


def values_of(report: Dataset, code: str) -> list[str]:
    """Return the texts, codes and UIDs of one concept."""
    found = [item for item in items(report) if concept_name(item)[0] == code]
    return [
        item.TextValue
        if item.ValueType == "TEXT"
        else item.ConceptCodeSequence[0].CodeValue
        if item.ValueType == "CODE"
        else str(item.get("UID"))
        for item in found
    ]


def evaluations_of(report: Dataset, name: hd.sr.CodedConcept) -> list[hd.sr.CodeContentItem]:
    """Return the evaluations of one concept, as highdicom's reader finds them."""
    content = hd.sr.Comprehensive3DSR.from_dataset(report).content[0]
    (container,) = hd.sr.utils.find_content_items(content, name=EVALUATIONS)
    return hd.sr.utils.find_content_items(container, name=name)


def images_of(item: hd.sr.CodeContentItem) -> set[str]:
    """Return the SOP Instance UIDs of the images that an item names."""
    return {
        child.referenced_sop_instance_uid
        for child in item.ContentSequence
        if child.ValueType == "IMAGE"
    }


def text_of(report: Dataset) -> str:
    """Return all texts of a report, one a line."""
    return "\n".join(item.TextValue for item in items(report) if item.ValueType == "TEXT")
