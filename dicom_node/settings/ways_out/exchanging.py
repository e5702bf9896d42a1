"""What every kind of destination has: how long it may take, and whether it is sent anything."""

from pydantic import PositiveFloat, PositiveInt

from dicom_node.settings.tls import Certificates


class Exchanging(Certificates):
    """How long a destination may take, and whether it is sent anything at all."""

    timeout_seconds: PositiveFloat = 30.0
    """Longest silence of the destination."""
    exchange_seconds: PositiveFloat = 60.0
    """Longest duration of one request and its answer, besides the time to send an object."""
    slowest_bytes_per_second: PositiveInt = 100_000
    """Each object may take its size divided by this longer than exchange_seconds."""
    dry: bool = False
    """Make and validate everything for this destination, and send nothing there."""
    only_by_rule: bool = False
    """Send there only what a rule names this destination for."""

    def longest_seconds(self, sent_bytes: int = 0) -> float:
        """Return the longest duration of an exchange that sends so many bytes."""
        return self.exchange_seconds + sent_bytes / self.slowest_bytes_per_second

    @property
    def words_for_lateness(self) -> str:
        """That an exchange took too long, and what to check."""
        return (
            f"no complete answer within exchange_seconds ({self.exchange_seconds:g} s). Check the "
            "destination and the network, or raise exchange_seconds under [[destinations]]."
        )
