"""The sections [work] and [retry]: how often analyses and deliveries are attempted."""

from pydantic import PositiveFloat, PositiveInt, model_validator

from dicom_node.settings.section import Section


class WorkSettings(Section):
    """How often work is tried, and how soon a silent worker is given up."""

    heartbeat_seconds: PositiveFloat = 10.0
    """A worker renews its lease this often."""
    lease_seconds: PositiveFloat = 40.0
    """Without renewal for so long the work is given to another worker."""
    maximum_attempts: PositiveInt = 4
    """Starts of one analysis before it counts as failed."""
    redispatch_seconds: PositiveFloat = 30.0
    """A message that no worker has taken up for so long may be sent again."""

    @model_validator(mode="after")
    def _lease_outlasts_heartbeat(self) -> "WorkSettings":
        if self.lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds")
        return self


class RetrySettings(Section):
    """How a delivery that may pass later is tried again."""

    first_seconds: PositiveFloat = 10.0
    """Wait after the first failure; it doubles with each further one."""
    longest_seconds: PositiveFloat = 900.0
    """The wait never exceeds this."""
    expire_seconds: PositiveFloat = 7 * 86400.0
    """A delivery that did not succeed within this time is given up as expired."""
