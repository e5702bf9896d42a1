"""The sections [results] and [profiles]: which result objects are made, and how."""

from typing import Annotated, Literal

from pydantic import Field

from dicom_node.settings.section import Section

BUILT_IN_PROFILES = ("ohif", "workstation", "pacs", "all")
DEFAULT_PROFILE = "ohif"


class ResultSettings(Section):
    """How result objects are made."""

    longest_side_pixels: Annotated[int, Field(ge=512, le=8192)] = 2048
    """Secondary Captures are reduced to this size."""
    series_number_base: Annotated[int, Field(ge=1, le=99_000)] = 9000
    """Series numbers of results start here."""


class ProfileSettings(Section):
    """A profile of a site's own: what a destination is sent, and in which form."""

    objects: Annotated[
        tuple[
            Literal[
                "measurement_report",
                "cad_report",
                "segmentation",
                "secondary_capture",
                "summary_sheet",
                "presentation_state",
                "pdf_report",
                "attention_segmentation",
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    """The kinds of object."""
    report: Literal["comprehensive_3d", "comprehensive"] = "comprehensive_3d"
    """SOP Class of the measurement report."""
    coding: Literal["SCT", "SRT"] = "SCT"
    """Codes of the CAD report: SNOMED CT, or SNOMED-RT for workstations of before 2018."""
    spacing_unit: Literal["um", "mm"] = "um"
    """Unit of pixel spacing in the CAD report."""
    composition: Literal["words", "coded"] = "words"
    """Density in the CAD report; coded, it makes every report one with findings."""
    plain_mark: Literal["breast_density", "selected_region"] = "breast_density"
    """Mark of the CAD report for findings that have no mark of their own."""
    picture_style: Literal["color", "single_color", "grey"] = "color"
    """How pictures and summary sheet show attention."""
    picture_compression: Literal["none", "rle", "jpeg"] = "none"
    """How the pixels of pictures and summary sheet are stored; jpeg loses a little."""
