"""The kinds of [[destinations]] that get messages made of the measurement report."""

import base64
import binascii
import ipaddress
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from dicom_node.settings.section import BearerToken, Name, Port, Secret
from dicom_node.settings.ways_out.exchanging import Exchanging
from dicom_node.settings.ways_out.results import DEFAULT_PROFILE

_PREFIX: Final = "whsec_"
_SHORTEST_KEY, _LONGEST_KEY = 24, 64
"""Bytes of a key (Standard Webhooks, "Signature scheme")."""

CharacterSet = Literal[
    "UNICODE UTF-8",
    "ASCII",
    "8859/1",
    "8859/2",
    "8859/5",
    "8859/7",
    "8859/9",
    "8859/15",
    "GB 18030-2000",
]
"""Character sets of HL7 table 0211."""

Application = Annotated[str, StringConstraints(max_length=180, pattern=r"^[ -~]*$")]
"""Name of an application or a facility (HL7 2.A.33, namespace of HD), in ASCII."""


class Messages(Exchanging):
    """What is made of the measurement report, and no object of DICOM."""

    profile: Name = DEFAULT_PROFILE
    """Profile whose measurement report the message is made of: give it that of the archive, so
    that what the message refers to is found there."""
    confirm: ClassVar[Literal["none"]] = "none"
    """Its acknowledgement is the proof: nothing is asked afterwards."""


class HttpMessages(Messages):
    """Messages that are posted by HTTP."""

    url: str = Field(pattern=r"^https?://")
    """Address that messages are posted to; for kind fhir the base of the server."""
    username: str | None = None
    password: Secret | None = None
    token: BearerToken | None = None
    """Sent as ``Authorization: Bearer``, and then neither username nor password."""

    @field_validator("url")
    @classmethod
    def _url_is_of_a_server(cls, url: str) -> str:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ValueError("set username and password instead of writing them into url")
        if not parts.hostname or parts.fragment:
            raise ValueError("url needs a host, and no fragment")
        if is_link_local(parts.hostname):
            raise ValueError("url names an address of the machine's own network link")
        return url


class WebhookDestination(HttpMessages):
    """A web server that is told of results, in signed messages (Standard Webhooks 1.0.0)."""

    kind: Literal["webhook"]
    name: Name
    secret: Secret
    """Key of the signature: whsec_ and 24 to 64 random bytes in base64."""
    former_secret: Secret | None = None
    """Key that is being replaced: messages are signed with it too."""
    identifiers: Literal["study", "accession", "patient"] = "study"
    """What messages say of the patient: study (UIDs alone), accession (the accession number too),
    or patient (name, patient ID, birth date and sex too)."""

    @field_validator("secret", "former_secret")
    @classmethod
    def _secret_is_a_key(cls, secret: Secret | None) -> Secret | None:
        if secret is not None:
            key_of(secret.get_secret_value())
        return secret


class FhirDestination(HttpMessages):
    """A FHIR server that gets results as resources (FHIR R5, HL7 guide *DICOM SR to FHIR*)."""

    kind: Literal["fhir"]
    name: Name
    patient_id_system: str = Field(default="", pattern=r"^(?:[A-Za-z][A-Za-z0-9+.-]*:\S+)?$")
    """URI of the system of patient IDs, by which the server knows the patient."""
    accession_system: str = Field(default="", pattern=r"^(?:[A-Za-z][A-Za-z0-9+.-]*:\S+)?$")
    """URI of the system of accession numbers."""
    find_patient: bool = False
    """Have the server put its own Patient in place of the patient ID; it refuses the message
    unless exactly one has it."""

    @model_validator(mode="after")
    def _patients_are_found_by_a_system(self) -> "FhirDestination":
        if self.find_patient and not self.patient_id_system:
            raise ValueError("find_patient needs patient_id_system")
        return self


class Hl7Destination(Messages):
    """A reporting system that gets results as HL7 v2.5.1 ORU^R01 over MLLP."""

    kind: Literal["hl7"]
    name: Name
    host: str
    port: Port = 2575
    sending_application: Application = "MAMMOCLIP"
    """MSH-3."""
    sending_facility: Application = ""
    """MSH-4."""
    receiving_application: Application = ""
    """MSH-5."""
    receiving_facility: Application = ""
    """MSH-6."""
    assigning_authority: Application = ""
    """PID-3.4 of patient IDs whose images name no issuer; many receivers need one."""
    processing_id: Literal["P", "T", "D"] = "P"
    """MSH-11: P (production), T (training) or D (debugging)."""
    character_set: CharacterSet = "UNICODE UTF-8"
    """Character set of messages, as MSH-18 declares it."""
    acknowledgement: Literal["application", "accept"] = "application"
    """Which answer is waited for: application (AA, AE, AR; original mode), or accept (CA, CE, CR;
    enhanced mode), by which the receiver only says that it has stored the message."""
    outlines: bool = True
    """Write the outline of each region too."""
    priority_field: str = Field(
        default="", pattern=r"^(?:OBR-5|OBR-27\.6|TQ1-9|Z[A-Z0-9]{2}-[1-9][0-9]?(?:\.[1-9])?)?$"
    )
    """Where the priority of the study is written, for which ORU^R01 has no place of its own: OBR-5,
    OBR-27.6, TQ1-9, or a field (ZPR-2) or component (ZPR-2.1) of a Z segment at the end. Empty:
    nowhere."""
    priority_values: dict[Literal["stat", "routine", "off-peak"], Application] = Field(
        default_factory=dict
    )
    """What is written for a priority, instead of S for stat, and R for routine and off-peak
    (HL7 table 0485)."""
    tls: bool = False
    """Send over TLS; the certificates are those of [tls] unless this destination sets its own."""
    tls_server_name: str | None = None
    """Name or IP address in the receiver's certificate (SAN). Default: host."""


HttpMessageDestination = FhirDestination | WebhookDestination
MessageDestination = FhirDestination | Hl7Destination | WebhookDestination


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises
    ------
    ValueError
        It is none.
    """
    wrong = ValueError(
        f"give {_PREFIX} and {_SHORTEST_KEY} to {_LONGEST_KEY} random bytes in base64, for "
        f'example: echo "{_PREFIX}$(openssl rand -base64 32)"'
    )
    if not secret.startswith(_PREFIX):
        raise wrong
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise wrong from error
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise wrong
    return key


def is_link_local(host: str) -> bool:
    """Return whether a host is an address that only its own machine or link knows a server at."""
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False
