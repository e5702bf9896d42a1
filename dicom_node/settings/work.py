"""The sections [work] and [retry]: how often analyses and deliveries are attempted."""

from typing import Annotated

from pydantic import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from dicom_node.settings.section import Section


class WorkSettings(Section):
    """Attempts of an analysis, and when a worker counts as lost."""

    heartbeat_seconds: PositiveFloat = 10.0
    """Seconds between renewals of a worker's lease."""
    lease_seconds: PositiveFloat = 40.0
    """Seconds without a renewal before the work is given to another worker."""
    maximum_attempts: PositiveInt = 4
    """Attempts of one analysis before it counts as failed."""
    redispatch_seconds: PositiveFloat = 30.0
    """Seconds before a message that no worker has received may be sent again."""
    shutdown_seconds: PositiveFloat = 5.0
    """Seconds that a delivery may take to end once its worker ends; then another one makes it."""

    watchdog_seconds: NonNegativeFloat = 120.0
    """Seconds after which an idle worker that takes none of the waiting messages ends; 0: never."""

    off_peak_hours: (
        Annotated[
            str,
            StringConstraints(
                pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"
            ),
        ]
        | None
    ) = None
    """Hours in which off-peak studies are analysed, as "20:00-06:00", in results.time_zone.
    Default: at any hour, after all others."""

    stage_seconds: PositiveFloat = 180.0
    """Seconds that a stage of an analysis may take, and those for each image besides."""
    stage_seconds_per_image: NonNegativeFloat = 60.0
    """Seconds for each image (frame) of the study, besides `stage_seconds`."""
    loading_seconds: PositiveFloat = 900.0
    """Seconds that a process may take to load the model, and with `model.compile` to compile it."""
    worker_memory_bytes: PositiveInt = 8_000_000_000
    """Peak memory beyond which a process of a worker is replaced, after the study in hand."""

    def stage_deadline(self, images: int) -> float:
        """Return the seconds that a stage of an analysis of some images may take."""
        return self.stage_seconds + images * self.stage_seconds_per_image

    @model_validator(mode="after")
    def _lease_outlasts_heartbeat(self) -> "WorkSettings":
        if self.lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds")
        return self


class RetrySettings(Section):
    """When a failed delivery is tried again."""

    first_seconds: PositiveFloat = 10.0
    """Seconds to wait after the first failure; doubled after each further one."""
    longest_seconds: PositiveFloat = 900.0
    """Longest wait in seconds."""
    expire_seconds: PositiveFloat = 7 * 86400.0
    """Seconds after which an undelivered result is given up as expired; not while its destination
    is down, and counted anew from when that takes something again, or a pause of it ends."""
    breaker_failures: NonNegativeInt = 3
    """Deliveries in a row of which a destination takes nothing before it counts as down: what is
    due then waits unchanged, and it is asked whether it answers. 0: never."""
    first_probe_seconds: PositiveFloat = 10.0
    """Seconds before a destination that is down is first asked; doubled after each further time."""
    longest_probe_seconds: PositiveFloat = 120.0
    """Longest time in seconds from one such question to the next."""
