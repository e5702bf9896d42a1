"""The section [ups]: a worklist of workitems (UPS-RS) that the node works off."""

from collections.abc import Iterable, Iterator
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, StringConstraints, field_validator

from dicom_node.settings.section import AETitle, Name, Secret, Section
from dicom_node.settings.tls import Certificates
from dicom_node.settings.ways_out.destinations import DicomDestination, DicomwebDestination

_Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16)]
_Long = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


class CodeSettings(Section):
    """A coded term (PS3.3 8.8)."""

    value: _Short
    """Code Value, for example "MAMMO-AI"."""
    scheme: _Short
    """Coding Scheme Designator, for example "99SITE"."""
    meaning: _Long
    """Code Meaning: the term in words."""


class UpsSettings(Certificates):
    """A worklist server, and which of its workitems the node performs."""

    url: str | None = Field(default=None, pattern=r"^https?://")
    """Service root, for example http://orchestrator:8080/dicom-web. Default: no worklist."""
    workitem_codes: tuple[CodeSettings, ...] = ()
    """Scheduled Workitem Codes of the work that the node performs; with url at least one."""
    station_names: tuple[CodeSettings, ...] = ()
    """The node's own Scheduled Station Name Codes: workitems for them are taken. Default: those for
    no station."""
    worklist_label: _Long | None = None
    """Worklist Label of the workitems that are asked for. Default: any."""
    archives: tuple[Name, ...] = ()
    """Blocks under [[destinations]] from which images may be fetched; empty: they are awaited."""
    seconds: PositiveFloat = 30.0
    """Seconds from the end of one search for workitems to the next."""
    most_at_once: Annotated[int, Field(ge=1, le=100)] = 4
    """Workitems that the node holds at the same time."""
    progress_seconds: PositiveFloat = 30.0
    """Shortest time in seconds between two reports of progress of one workitem."""
    inputs_within_seconds: PositiveFloat = 3600.0
    """Seconds within which all images of a workitem must have come; then it is canceled."""
    events: bool = False
    """Subscribe to events and hold a WebSocket open for them, beside the searches."""
    events_url: str | None = Field(default=None, pattern=r"^wss?://")
    """Where the WebSocket is opened. Default: what the server says, else below url."""
    ae_title: AETitle | None = None
    """AE title of the subscription. Default: receive.ae_title."""
    username: str | None = None
    """Name for HTTP Basic authentication."""
    password: Secret | None = None
    """Password for HTTP Basic authentication."""
    timeout_seconds: PositiveFloat = 30.0
    """Longest silence of the server."""
    exchange_seconds: PositiveInt = 60
    """Longest duration of one request and its answer, in seconds."""

    @field_validator("url")
    @classmethod
    def _url_holds_no_password(cls, url: str | None) -> str | None:
        if url is not None and "@" in urlsplit(url).netloc:
            raise ValueError("set username and password instead of writing them into url")
        return url

    def as_destination(self) -> DicomwebDestination:
        """Return the server as an archive is described to whoever speaks HTTP with it."""
        return DicomwebDestination(
            kind="dicomweb",
            name="worklist",
            url=self.url or "",
            username=self.username,
            password=self.password,
            timeout_seconds=self.timeout_seconds,
            exchange_seconds=self.exchange_seconds,
            certificate=self.certificate,
            private_key=self.private_key,
            private_key_password=self.private_key_password,
            certificate_authorities=self.certificate_authorities,
        )


def ups_mistakes(
    ups: UpsSettings, destinations: Iterable[DicomDestination | DicomwebDestination]
) -> Iterator[str]:
    """Yield what is wrong in [ups], and between it and [[destinations]]."""
    if ups.url is None:
        return
    if not ups.workitem_codes:
        yield "ups: set workitem_codes, the codes of the work that the node performs"
    known = {entry.name for entry in destinations}
    for name in ups.archives:
        if name not in known:
            yield (
                f"ups: there is no destination {name}; "
                f"there are: {', '.join(sorted(known)) or 'none'}"
            )
