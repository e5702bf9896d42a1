"""The section [receive]: how the node listens for mammograms."""

from pydantic import PositiveFloat, PositiveInt

from dicom_node.settings.section import AETitle, Port, Section


class ReceiveSettings(Section):
    """How the node listens for mammograms."""

    ae_title: AETitle = "MAMMOCLIP"
    """AE title of the node, up to 16 characters."""
    host: str = "127.0.0.1"
    """IP address to listen on; 0.0.0.0: all networks of this machine."""
    port: Port = 11112
    """TCP port to listen on, 1 to 65535."""
    called_ae_titles: tuple[AETitle, ...] = ()
    """Further AE titles under which senders may call the node."""
    require_called_ae_title: bool = True
    """Reject associations that call the node by another AE title; true or false."""
    calling_ae_titles: tuple[AETitle, ...] = ()
    """AE titles that may send; empty: all."""
    secondary_capture_senders: tuple[AETitle, ...] = ()
    """AE titles whose Secondary Captures are accepted as mammograms; empty: none."""
    maximum_associations: PositiveInt = 20
    """Maximum number of simultaneous associations; further ones are rejected (retry later)."""
    maximum_object_bytes: PositiveInt = 1_500_000_000
    """Maximum size of an object in bytes; larger ones are refused with status 0xA700."""
    minimum_free_bytes: PositiveInt = 2_000_000_000
    """Minimum free bytes on the spool's disk; with less, objects are refused with 0xA700."""
    idle_timeout_seconds: PositiveFloat = 60.0
    """Seconds without a message before an association is aborted."""
