"""What the sections of the settings share: their base class and the types of their values."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)

_folder: ContextVar[Path | None] = ContextVar("folder_of_settings_file", default=None)
_LONGEST_SECRET_BYTES: Final = 65_536


@contextmanager
def paths_from(folder: Path) -> Iterator[None]:
    """Let relative paths in settings that are read meanwhile start at a folder."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def _anchored(path: Path) -> Path:
    folder = _folder.get()
    expanded = path.expanduser()
    return expanded if folder is None else folder / expanded


def _secret_of(value: Any) -> Any:
    """Return the secret that a table ``{ file = ... }`` or ``{ environment = ... }`` points to."""
    match value:
        case {"file": str(path), **others} if not others:
            return _secret_in_file(_anchored(Path(path)))
        case {"environment": str(name), **others} if not others:
            if name not in os.environ:
                raise ValueError(f"environment variable {name} is not set")
            return os.environ[name]
        case str() | SecretStr():
            return value
    raise ValueError("give text, { file = PATH } or { environment = NAME }")


def _secret_in_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LONGEST_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > _LONGEST_SECRET_BYTES:
        raise ValueError(f"{path} is too long for a secret")
    try:
        # Editors and secret managers end a file with a line feed.
        return content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error


LocalPath = Annotated[Path, AfterValidator(_anchored)]
"""A path that starts at the folder of the settings file if it is relative."""

Secret = Annotated[SecretStr, BeforeValidator(_secret_of)]
"""A secret, given as text, as ``{ file = PATH }`` or as ``{ environment = NAME }``."""


def _sent_as_header(secret: SecretStr) -> SecretStr:
    if not re.fullmatch("[!-~]+", secret.get_secret_value()):
        raise ValueError(
            "a bearer token consists of letters, digits and signs of ASCII, without spaces: copy "
            "it anew"
        )
    return secret


BearerToken = Annotated[Secret, AfterValidator(_sent_as_header)]
"""A secret that is sent as ``Authorization: Bearer`` (RFC 6750 2.1)."""


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

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )
