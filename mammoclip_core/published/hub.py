"""Files of the model hub on this disk: resumed where they broke off, checked by its digests."""

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mammoclip_core.errors import FetchError
from mammoclip_core.published.models import HubFile

_CHUNK: Final = 1 << 20
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT_BLOB: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that is here, whole and as the hub has it.

    Attributes
    ----------
    commit : that the file's revision stands for
    """

    path: Path
    commit: str


def fetch_file(file: HubFile, folder: Path) -> Fetched:
    """Download a file into a folder, or what of it is not there yet.

    Large files are checked by the SHA-256 that the hub reports; small ones, which have none there,
    by git's digest. A download that breaks off is kept and resumed by the next call.

    Raises
    ------
    FetchError
        The hub cannot be reached or has no such file, the disk is too small, or the file that came
        differs from what the hub reports.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(file.repository, file.path, revision=file.revision)
    seen = _asked(file, lambda: get_hf_file_metadata(url, timeout=30))
    digest = (seen.etag or "").lower()
    if not (_SHA256.fullmatch(digest) or _GIT_BLOB.fullmatch(digest)) or not seen.size:
        raise FetchError(f"{_name(file)}: the hub reports no digest or no size to check it by")
    whole = folder / digest / Path(file.path).name
    commit = seen.commit_hash or file.revision
    if whole.is_file() and _digest(whole, digest) == digest:
        return Fetched(path=whole, commit=commit)
    whole.parent.mkdir(parents=True, exist_ok=True)
    part = whole.with_name(f"{whole.name}.part")
    held = part.stat().st_size if part.is_file() else 0
    if held > seen.size:
        part.unlink()
        held = 0
    free = shutil.disk_usage(whole.parent).free
    if free < seen.size - held:
        raise FetchError(
            f"{_name(file)}: {seen.size - held} bytes are still needed, only {free} are free"
        )
    with part.open("ab") as stream:
        _asked(
            file,
            lambda: http_get(
                url,
                stream,
                resume_size=held,
                headers=build_hf_headers(),
                expected_size=seen.size,
                displayed_filename=whole.name,
            ),
        )
    found = _digest(part, digest)
    if found != digest:
        part.unlink()
        raise FetchError(
            f"{_name(file)}: the hub reports the digest {digest}, the download has {found}: it was "
            "deleted, try again"
        )
    part.replace(whole)
    return Fetched(path=whole, commit=commit)


def _asked(file: HubFile, question: Callable[[], Any]) -> Any:
    """Ask the hub, and report its failures in one line."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = _name(file)
    try:
        return question()
    except OfflineModeIsEnabled as error:
        raise FetchError(f"{name}: HF_HUB_OFFLINE is set: unset it to download") from error
    except GatedRepoError as error:
        raise FetchError(f"{name}: its authors require a login: run hf auth login") from error
    except RepositoryNotFoundError as error:
        raise FetchError(f"{name}: the hub has no such repository, or asks for a login") from error
    except RevisionNotFoundError as error:
        raise FetchError(f"{name}: the repository has no revision {file.revision}") from error
    except LocalEntryNotFoundError as error:
        raise FetchError(f"{name}: the hub cannot be reached") from error
    except EntryNotFoundError as error:
        raise FetchError(f"{name}: the repository has no such file") from error
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "no")
        raise FetchError(f"{name}: the hub answers with status {status}; try again") from error
    except (OSError, ValueError) as error:
        raise FetchError(
            f"{name}: the download was interrupted: run the command again to resume it"
        ) from error
    except Exception as error:
        # The client's own errors come from an HTTP library that changed between its versions.
        if not type(error).__module__.startswith(("http", "requests", "urllib3")):
            raise
        raise FetchError(
            f"{name}: the hub cannot be reached ({type(error).__name__}); run "
            "the command again to resume the download"
        ) from error


def _digest(path: Path, like: str) -> str:
    """Return a file's SHA-256, or its git digest, chosen by the length of the one expected."""
    if len(like) == 64:
        hasher = hashlib.sha256()
    else:
        hasher = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def _name(file: HubFile) -> str:
    return f"{file.repository}/{file.path}"
