"""What a CAD report says was tried on which image, and how it ended (TID 4015 to 4018, 4023)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.sr.coding import Code

from dicom_node.objects.cad_sr import codes as cad_codes
from dicom_node.objects.cad_sr.impressions import algorithm_items
from dicom_node.objects.cad_sr.marks import OPERATING_POINTS
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Reference, Relationship
from dicom_node.objects.context import ResultContext


@dataclass(frozen=True, slots=True, kw_only=True)
class _Concepts:
    summary: Code
    successful: Code
    failed: Code
    performed: Code


DETECTIONS: Final = _Concepts(
    summary=cad_codes.SUMMARY_OF_DETECTIONS,
    successful=cad_codes.SUCCESSFUL_DETECTIONS,
    failed=cad_codes.FAILED_DETECTIONS,
    performed=cad_codes.DETECTION_PERFORMED,
)
ANALYSES: Final = _Concepts(
    summary=cad_codes.SUMMARY_OF_ANALYSES,
    successful=cad_codes.SUCCESSFUL_ANALYSES,
    failed=cad_codes.FAILED_ANALYSES,
    performed=cad_codes.ANALYSIS_PERFORMED,
)


def summary_item(
    concepts: _Concepts,
    tried: Sequence[Code],
    context: ResultContext,
    *,
    good: Sequence[Item],
    bad: Sequence[Item],
    with_operating_points: bool = False,
) -> Item:
    """Summarise what was tried: its value follows from the containers, never from a setting.

    Parameters
    ----------
    concepts : DETECTIONS or ANALYSES
    tried : what was looked for, or analysed; empty if nothing was
    good, bad : entries of the Image Library that were read, and that could not be
    with_operating_points : whether the report has optional marks
    """
    if not tried or not (good or bad):
        return content_tree.code(Relationship.CONTAINS, concepts.summary, cad_codes.NOT_ATTEMPTED)
    children = [
        content_tree.container(
            Relationship.INFERRED_FROM,
            heading,
            [
                content_tree.code(
                    Relationship.CONTAINS,
                    concepts.performed,
                    concept,
                    [
                        *algorithm_items(context),
                        *(Reference(Relationship.HAS_PROPERTIES, entry) for entry in entries),
                        *(_maximum_operating_point() if with_operating_points else ()),
                    ],
                )
                for concept in tried
            ],
        )
        for heading, entries in ((concepts.successful, good), (concepts.failed, bad))
        if entries
    ]
    return content_tree.code(
        Relationship.CONTAINS, concepts.summary, _value_of(good, bad), children
    )


def _value_of(good: Sequence[Item], bad: Sequence[Item]) -> Code:
    if not bad:
        return cad_codes.SUCCEEDED
    return cad_codes.PARTIALLY_SUCCEEDED if good else cad_codes.FAILED


def _maximum_operating_point() -> list[Item]:
    return [
        content_tree.number(
            Relationship.HAS_PROPERTIES,
            cad_codes.MAXIMUM_OPERATING_POINT,
            OPERATING_POINTS,
            cad_codes.ARBITRARY_UNIT,
        )
    ]
