"""The kinds of result object, one row for each, without heavy imports for the listener's sake.

A new kind is a row here and a module with its builder, which the row names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

SECONDARY_CAPTURE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66.4"
GRAYSCALE_PRESENTATION_STATE: Final = "1.2.840.10008.5.1.4.1.1.11.1"
ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
COMPREHENSIVE_SR: Final = "1.2.840.10008.5.1.4.1.1.88.33"
COMPREHENSIVE_3D_SR: Final = "1.2.840.10008.5.1.4.1.1.88.34"
MAMMOGRAPHY_CAD_SR: Final = "1.2.840.10008.5.1.4.1.1.88.50"
KEY_OBJECT_SELECTION: Final = "1.2.840.10008.5.1.4.1.1.88.59"


class Variant(StrEnum):
    """The options of a profile that change the content of a kind of object."""

    NONE = "none"
    PICTURE_STYLE = "picture_style"
    PICTURE_FORM = "picture_style, picture_compression"
    EVIDENCE = "report, objects, picture_style, picture_compression"
    CAD_OPTIONS = "coding, spacing_unit, composition, plain_mark"
    RETRACTION = "objects, picture_style, picture_compression"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """Properties of one kind of result object.

    Attributes
    ----------
    title : name in documents for readers
    series_number : 1 or more
        Added to results.series_number_base.
    series_description : at most 64 characters
        Starts with the kind, since viewers cut long descriptions.
    builder : module under ``dicom_node.objects`` whose ``plan`` lists the objects to build
    may_be_absent : whether some studies have none, such as those without a region
    is_report : whether a later revision refers to its predecessor and keeps the series
    is_evidence : whether the TID 1500 report sent to the same destination refers to it
    is_on_request : left out of built-in profiles: viewers apply it automatically, or reject it
    has_series_per_image : whether each image has a series; its index follows the number
    is_retractable : whether a rejection note retracts it once a new revision replaces it
    """

    title: str
    series_number: int
    series_description: str
    sop_class_uids: tuple[str, ...]
    builder: str
    variant: Variant = Variant.NONE
    may_be_absent: bool = False
    is_report: bool = False
    is_evidence: bool = False
    is_on_request: bool = False
    has_series_per_image: bool = False
    is_retractable: bool = False


class ResultKind(StrEnum):
    """The kinds of object that an analysis can produce, in the order in which they are built.

    Objects that a report refers to come before it. The values are used in profiles, file names,
    the ledger and every UID of a result.
    """

    row: KindRow
    _value_: str

    def __new__(cls, value: str, *row: KindRow) -> "ResultKind":
        """Make a member from its name and row; the name alone looks it up."""
        member = str.__new__(cls, value)
        member._value_ = value
        (member.row,) = row
        return member

    SECONDARY_CAPTURE = (
        "secondary_capture",
        KindRow(
            title="Picture",
            series_number=4,
            series_description="AI pictures - RESEARCH USE ONLY",
            sop_class_uids=(SECONDARY_CAPTURE_STORAGE,),
            builder="sc.secondary_capture",
            variant=Variant.PICTURE_FORM,
            is_evidence=True,
            is_retractable=True,
        ),
    )
    SUMMARY_SHEET = (
        "summary_sheet",
        KindRow(
            title="Summary sheet",
            series_number=5,
            series_description="AI summary sheet - RESEARCH USE ONLY",
            sop_class_uids=(SECONDARY_CAPTURE_STORAGE,),
            builder="sc.summary_sheet",
            variant=Variant.PICTURE_FORM,
            is_evidence=True,
            is_retractable=True,
        ),
    )
    SEGMENTATION = (
        "segmentation",
        KindRow(
            title="Segmentation",
            series_number=3,
            series_description="AI regions - RESEARCH USE ONLY",
            sop_class_uids=(SEGMENTATION_STORAGE,),
            builder="seg.segmentation",
            may_be_absent=True,
            is_evidence=True,
            has_series_per_image=True,
            is_retractable=True,
        ),
    )
    ATTENTION_SEGMENTATION = (
        "attention_segmentation",
        KindRow(
            title="Attention maps",
            series_number=8,
            series_description="AI attention maps - RESEARCH USE ONLY",
            sop_class_uids=(SEGMENTATION_STORAGE,),
            builder="seg.attention_segmentation",
            may_be_absent=True,
            is_evidence=True,
            is_on_request=True,
            has_series_per_image=True,
            is_retractable=True,
        ),
    )
    PRESENTATION_STATE = (
        "presentation_state",
        KindRow(
            title="Presentation state",
            series_number=6,
            series_description="AI outlines - RESEARCH USE ONLY",
            sop_class_uids=(GRAYSCALE_PRESENTATION_STATE,),
            builder="pr.presentation_state",
            may_be_absent=True,
            is_on_request=True,
            is_retractable=True,
        ),
    )
    PDF_REPORT = (
        "pdf_report",
        KindRow(
            title="Page to print",
            series_number=7,
            series_description="AI report to print - RESEARCH USE ONLY",
            sop_class_uids=(ENCAPSULATED_PDF,),
            builder="pdf.encapsulated_pdf",
            variant=Variant.PICTURE_STYLE,
            is_on_request=True,
            is_retractable=True,
        ),
    )
    MEASUREMENT_REPORT = (
        "measurement_report",
        KindRow(
            title="Measurement report",
            series_number=1,
            series_description="AI report - RESEARCH USE ONLY",
            sop_class_uids=(COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR),
            builder="sr.measurement_report",
            variant=Variant.EVIDENCE,
            is_report=True,
        ),
    )
    CAD_REPORT = (
        "cad_report",
        KindRow(
            title="Mammography CAD report",
            series_number=2,
            series_description="AI mammography CAD - RESEARCH USE ONLY",
            sop_class_uids=(MAMMOGRAPHY_CAD_SR,),
            builder="cad_sr.cad_report",
            variant=Variant.CAD_OPTIONS,
            is_report=True,
        ),
    )
    KEY_IMAGES = (
        "key_images",
        KindRow(
            title="Key images",
            series_number=9,
            series_description="AI key images - RESEARCH USE ONLY",
            sop_class_uids=(KEY_OBJECT_SELECTION,),
            builder="ko.key_images",
            may_be_absent=True,
            is_on_request=True,
            is_retractable=True,
        ),
    )
    REJECTION_NOTE = (
        "rejection_note",
        KindRow(
            title="Rejection note",
            series_number=10,
            series_description="AI results retracted - RESEARCH USE ONLY",
            sop_class_uids=(KEY_OBJECT_SELECTION,),
            builder="ko.rejection_note",
            variant=Variant.RETRACTION,
            may_be_absent=True,
            is_on_request=True,
        ),
    )


def series_numbers_from(base: int) -> Mapping[ResultKind, int]:
    """Return the series number of each kind above a base."""
    return MappingProxyType({kind: base + kind.row.series_number for kind in ResultKind})
