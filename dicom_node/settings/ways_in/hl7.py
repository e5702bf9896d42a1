"""The section [hl7]: updates and merges of patients, which a hospital's system sends."""

from typing import Annotated

from pydantic import Field, IPvAnyNetwork, PositiveFloat

from dicom_node.settings.section import Port, Section


class Hl7Settings(Section):
    """How the node takes HL7 v2 messages about patients (ADT), over MLLP."""

    enabled: bool = False
    """Take updates (A08, A31) and merges (A18, A40 and the like) and correct whose studies are."""
    host: str = "127.0.0.1"
    """IP address to listen on; 0.0.0.0: all networks of this machine."""
    port: Port = 2575
    """TCP port to listen on, 1 to 65535."""
    networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks from which messages may come, for example "10.1.2.3/32"; empty: this host alone."""
    assigning_authorities: tuple[str, ...] = ()
    """Whose patient IDs the images have (component 4 of PID-3); empty: of any."""
    maximum_message_bytes: Annotated[int, Field(ge=1000, le=100_000_000)] = 1_000_000
    """Largest message in bytes; longer ones end the connection."""
    timeout_seconds: PositiveFloat = 600.0
    """Silence after which a connection is closed."""
