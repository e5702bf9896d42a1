"""The section [[poll]]: archives that do not push, which the node asks for new studies."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from dicom_node.settings.section import Name, Section
from dicom_node.settings.ways_out.destinations import ArchiveDestination


class PollSettings(Section):
    """One archive that is asked again and again for studies that the node lacks."""

    archive: Name
    """The archive to ask: name of a block under [[destinations]]."""
    kind: Literal["search", "orthanc"] = "search"
    """search (by study date, over C-FIND or QIDO-RS) or orthanc (its list of changes)."""
    seconds: PositiveFloat = 60.0
    """Seconds from the end of one search to the next."""
    overlap_days: Annotated[int, Field(ge=1, le=366)] = 3
    """Days before the last complete search that are searched again; for kind search."""
    orthanc_url: str | None = Field(default=None, pattern=r"^https?://")
    """Root of Orthanc's REST service, for example http://archive:8042; for kind orthanc."""


def poll_mistakes(
    polls: Sequence[PollSettings],
    destinations: Iterable[ArchiveDestination],
) -> Iterator[str]:
    """Yield what is wrong between [[poll]] and [[destinations]]."""
    known = {entry.name: entry for entry in destinations}
    seen: set[str] = set()
    for poll in polls:
        if poll.archive in seen:
            yield f"poll: the archive {poll.archive} is named twice; remove one block"
        seen.add(poll.archive)
        if poll.archive not in known:
            yield (
                f"poll: there is no destination {poll.archive}; "
                f"there are: {', '.join(sorted(known)) or 'none'}"
            )
        elif poll.kind == "orthanc" and known[poll.archive].kind != "dicomweb":
            yield f'poll: kind "orthanc" needs a destination of kind dicomweb for {poll.archive}'
        if (poll.kind == "orthanc") != (poll.orthanc_url is not None):
            yield f'poll: kind "orthanc" and orthanc_url go together; see archive {poll.archive}'
