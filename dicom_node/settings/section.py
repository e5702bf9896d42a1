"""What the sections of the settings share: their base class and the types of their values."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"no time zone {name!r} is known on this machine; use an IANA name such as "
            "Europe/Berlin, or install the system's time zone data (tzdata)"
        ) from error
    return name


AETitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$"),
]
"""PS3.5 6.2, VR AE: 1 to 16 characters, no backslash, outer spaces without meaning."""

TimeZoneName = Annotated[str, AfterValidator(_known_zone)]
"""Name of a time zone in the IANA database, known on this machine."""

SerialNumber = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[ -\[\]-~]+$"),
]
"""PS3.5 6.2, VR LO in ASCII: 1 to 64 characters, no backslash."""

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    """A table of the settings file: unknown keys are mistakes, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
