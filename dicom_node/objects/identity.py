"""Who made the result objects of a study, when, with which weights, into which series."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from dicom_node.objects.uids import REPORTS, ResultKind, uid_of
from mammoclip_core.findings import BundleIdentity

SERIES_NUMBERS: Final[Mapping[ResultKind, int]] = MappingProxyType(
    {
        ResultKind.MEASUREMENT_REPORT: 9101,
        ResultKind.CAD_REPORT: 9102,
        ResultKind.SEGMENTATION: 9103,
        ResultKind.SECONDARY_CAPTURE: 9104,
        ResultKind.SUMMARY_SHEET: 9105,
        ResultKind.PRESENTATION_STATE: 9106,
        ResultKind.PDF_REPORT: 9107,
        ResultKind.ATTENTION_SEGMENTATION: 9108,
    }
)
"""Above what scanners use, so that results stand after the images in a list of series."""

SERIES_DESCRIPTIONS: Final[Mapping[ResultKind, str]] = MappingProxyType(
    {
        ResultKind.MEASUREMENT_REPORT: "RESEARCH USE ONLY - AI report",
        ResultKind.CAD_REPORT: "RESEARCH USE ONLY - AI mammography CAD",
        ResultKind.SEGMENTATION: "RESEARCH USE ONLY - AI attention regions",
        ResultKind.SECONDARY_CAPTURE: "RESEARCH USE ONLY - AI attention pictures",
        ResultKind.SUMMARY_SHEET: "RESEARCH USE ONLY - AI summary sheet",
        ResultKind.PRESENTATION_STATE: "RESEARCH USE ONLY - AI outlines",
        ResultKind.PDF_REPORT: "RESEARCH USE ONLY - AI report to print",
        ResultKind.ATTENTION_SEGMENTATION: "RESEARCH USE ONLY - AI attention maps",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultIdentity:
    """Facts of one revision that every builder writes; nothing is read from clock or chance.

    Attributes
    ----------
    warning : words of the bundle's manifest that every object carries; empty if none
    revision : 1 or more
    created_at : aware
        When the analysis was done; becomes every date and time that the objects have of their own.
    """

    bundle: BundleIdentity
    warning: str
    software_version: str
    revision: int
    created_at: datetime
    series_numbers: Mapping[ResultKind, int] = field(default_factory=lambda: SERIES_NUMBERS)
    series_descriptions: Mapping[ResultKind, str] = field(
        default_factory=lambda: SERIES_DESCRIPTIONS
    )

    def __post_init__(self) -> None:
        if self.created_at.tzinfo is None:
            raise ValueError("created_at has no time zone")
        if self.revision < 1:
            raise ValueError(f"revision {self.revision} is below 1")

    @property
    def device_uid(self) -> str:
        """Return the UID of the device: this version of the software with these weights."""
        return uid_of("device", self.bundle.sha256, self.software_version)

    @property
    def serial_number(self) -> str:
        """Return the first 16 digits of the weights' digest."""
        return self.bundle.sha256[:16]

    def series_description(self, kind: ResultKind) -> str:
        """Return the description of a series; kinds with a series a revision say which."""
        description = self.series_descriptions[kind]
        if kind in REPORTS:
            return description
        return f"{description}, rev {self.revision}"
