"""The section [canary]: a phantom study that the node sends to itself."""

from typing import Final

from pydantic import NonNegativeFloat, PositiveFloat

from dicom_node.settings.section import AETitle, Port, Section

CANARY_DESTINATION: Final = "canary"
"""Name under which results of canary studies are delivered to the node itself."""

FORMER_PORT: Final = 11113
"""Where nodes of earlier releases take the results, which do not say so in the ledger."""


class CanarySettings(Section):
    """A phantom study that takes the whole way, to find out whether everything works."""

    minutes: NonNegativeFloat = 0.0
    """Minutes from one canary study to the next; 0: only by 'mammoclip-node canary'."""
    longest_seconds: PositiveFloat = 600.0
    """Seconds after which a phase that has not ended counts as broken."""
    ae_title: AETitle = "CANARY"
    """AE title that sends the study, and that its results are sent to."""
    host: str = "127.0.0.1"
    """Address of the node, under which workers reach it, where it takes the canary's results."""
    port: Port | None = None
    """Port for that, taken only while a canary study is on its way. Default: a free one, which
    workers find in the ledger."""
