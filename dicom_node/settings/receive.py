"""The section [receive]: how the node listens for mammograms."""

from pydantic import PositiveFloat, PositiveInt

from dicom_node.settings.section import AETitle, Port, Section


class ReceiveSettings(Section):
    """How the node listens for mammograms."""

    ae_title: AETitle = "MAMMOCLIP"
    """The node's own AE title."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every network of the machine."""
    port: Port = 11112
    """TCP port of the DICOM listener."""
    called_ae_titles: tuple[AETitle, ...] = ()
    """Further AE titles that senders may call the node by."""
    require_called_ae_title: bool = True
    """Reject associations that call another AE title."""
    calling_ae_titles: tuple[AETitle, ...] = ()
    """AE titles that may send; empty accepts all."""
    secondary_capture_senders: tuple[AETitle, ...] = ()
    """AE titles whose Secondary Captures are mammograms (old digitisers, teaching files)."""
    maximum_associations: PositiveInt = 20
    """Associations open at the same time; the next one is rejected as transient."""
    maximum_object_bytes: PositiveInt = 1_500_000_000
    """An object larger than this is answered 0xA700."""
    minimum_free_bytes: PositiveInt = 2_000_000_000
    """With less space left on the spool's disk every object is answered 0xA700."""
    idle_timeout_seconds: PositiveFloat = 60.0
    """An association that says nothing for so long is aborted."""
