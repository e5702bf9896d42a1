"""Who made the result objects of a study, when, with which weights, into which series."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final

from dicom_node.facts.result_kinds import ResultKind, series_numbers_from
from dicom_node.objects.elements.local_time import MachineTimeZone
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import BundleIdentity

DEFAULT_SERIES_NUMBER_BASE: Final = 9000
"""Series numbers start here where no settings are read, as the settings' own default."""

UNINSTALLED: Final = "none"
"""Serial number of the device where objects are made without an installation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultIdentity:
    """Facts of one revision that every builder writes; nothing is read from clock or chance.

    Attributes
    ----------
    warning : words of the bundle's manifest that every object carries; empty if none
    revision : 1 or more
    created_at : aware
        When the analysis was done; becomes every date and time that the objects have of their own.
    device_serial_number : 1 to 64 characters
        Of the installation that made the objects.
    time_zone : of the site, for the objects of sources that state no offset from UTC
    """

    bundle: BundleIdentity
    warning: str
    software_version: str
    revision: int
    created_at: datetime
    device_serial_number: str = UNINSTALLED
    time_zone: tzinfo = field(default_factory=MachineTimeZone)
    series_numbers: Mapping[ResultKind, int] = field(
        default_factory=lambda: series_numbers_from(DEFAULT_SERIES_NUMBER_BASE)
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
    def weights_number(self) -> str:
        """Return the first 16 digits of the weights' digest, which tells two trainings apart."""
        return self.bundle.sha256[:16]

    def series_number(self, kind: ResultKind, image_number: int) -> int:
        """Return the number of a series: of kinds with a series an image it ends in the image's.

        Parameters
        ----------
        image_number : 1 or more
            Place of the image in the study; without meaning for the other kinds.
        """
        number = self.series_numbers[kind]
        return 1000 * number + image_number if kind.row.has_series_per_image else number
