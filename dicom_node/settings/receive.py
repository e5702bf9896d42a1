"""The section [receive]: how the node listens for mammograms."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

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
    processes: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that receive, all on the one port; one that fails costs its own associations."""
    process_memory_bytes: Annotated[int, Field(ge=200_000_000)] = 512_000_000
    """Memory limit of each receiving process in bytes; one that reaches it is replaced."""
    recycle_associations: PositiveInt = 5000
    """Associations after which a receiving process is replaced by a new one."""
    maximum_associations: Annotated[int, Field(ge=1, le=1000)] = 40
    """Maximum number of simultaneous associations; further ones are rejected (retry later)."""
    maximum_associations_per_address: PositiveInt = 30
    """Maximum number of simultaneous associations from one IP address."""
    places_for_known_senders: Annotated[int, Field(ge=0)] = 8
    """Associations kept free for addresses that have sent before; at most half of all."""
    maximum_object_bytes: PositiveInt = 1_500_000_000
    """Maximum size of an object in bytes; larger ones are refused with status 0xA700."""
    minimum_free_bytes: PositiveInt = 2_000_000_000
    """Minimum free bytes on the spool's disk; with less, objects are refused with 0xA700."""
    request_timeout_seconds: PositiveFloat = 10.0
    """Seconds within which a connection must have sent its association request."""
    pdu_timeout_seconds: PositiveFloat = 30.0
    """Seconds within which a PDU must be complete, and within which an answer must be read."""
    progress_timeout_seconds: PositiveFloat = 30.0
    """Seconds within which an object must end, or 256 KiB more of it must have come."""
    idle_timeout_seconds: PositiveFloat = 60.0
    """Seconds without a message (after objects: without an object) before an abort."""
