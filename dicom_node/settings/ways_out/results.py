"""The sections [results] and [profiles]: which result objects are made, and how."""

from typing import Annotated, Literal

from pydantic import Field

from dicom_node.settings.section import Section, SerialNumber, TimeZoneName

BUILT_IN_PROFILES = ("ohif", "workstation", "pacs", "all")
DEFAULT_PROFILE = "ohif"
PROFILES_WITH_REPORT = ("ohif", "pacs", "all")
"""Built-in profiles with a measurement report, of which messages are made."""


class ResultSettings(Section):
    """Options of the result objects."""

    longest_side_pixels: Annotated[int, Field(ge=512, le=8192)] = 2048
    """Longest side of a Secondary Capture in pixels, 512 to 8192; larger ones are reduced."""
    series_number_base: Annotated[int, Field(ge=1, le=99_000)] = 9000
    """Series numbers of results start above this number."""
    time_zone: TimeZoneName | None = None
    """IANA name of the time zone of dates and times in results, for example Europe/Berlin, unless
    the images state an offset from UTC. Default: the machine's time zone."""
    device_serial_number: SerialNumber | None = None
    """Device Serial Number (0018,1000) of this installation in results. Default: a number derived
    from the spool's identity.key."""


class ProfileSettings(Section):
    """A profile of the site: which objects a destination receives, and in which form."""

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
                "key_images",
                "rejection_note",
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    """Kinds of object to send."""
    report: Literal["comprehensive_3d", "comprehensive"] = "comprehensive_3d"
    """SOP Class of the measurement report."""
    coding: Literal["SCT", "SRT"] = "SCT"
    """Codes of the CAD report: SNOMED CT, or SNOMED-RT for workstations built before 2018."""
    spacing_unit: Literal["um", "mm"] = "um"
    """Unit of pixel spacing in the CAD report."""
    composition: Literal["words", "coded"] = "words"
    """Density in the CAD report: as text, or coded, which gives every report a finding."""
    plain_mark: Literal["breast_density", "selected_region"] = "breast_density"
    """Mark in the CAD report for findings without a specific one."""
    picture_style: Literal["color", "single_color", "grey", "side_by_side"] = "color"
    """Attention in pictures and summary sheet: in several colours, in one, by outlines alone, or
    (side_by_side) in several colours beside the same image without any."""
    picture_compression: Literal["none", "rle", "jpeg"] = "rle"
    """Pixel encoding of pictures and summary sheet: rle (lossless; uncompressed where the archive
    does not accept it), jpeg (lossy) or none, for viewers that read neither."""
