"""What archives were asked by C-MOVE to send to the node, as the listener sees it.

Nothing of it is flushed: what was expected ends with the process that expected it, and a power cut
ends both.
"""

import fcntl
import json
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.private_files import create_private_file, make_private_folder

FOLDER: Final = "moves"
"""Folder of the spool, with a file for each request under way, locked by whoever has made it."""

_LARGEST_BYTES: Final = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedMove:
    """Objects that one archive was asked for.

    Attributes
    ----------
    originator : AE title under which it was asked
    archive : AE title of the archive
    patient_id : of whom they are; empty if the archive did not say
    priority : how urgent they are, as an integer; None for what they state
    is_prior : whether they are of a former examination, fetched for comparison
    """

    originator: str
    archive: str
    sop_instance_uids: frozenset[str]
    patient_id: str = ""
    priority: int | None = None
    is_prior: bool = False


class ExpectedMoves:
    """The folder ``moves`` of a spool.

    Parameters
    ----------
    root : folder of the spool
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    @contextmanager
    def expecting(
        self,
        sop_instance_uids: Collection[str],
        *,
        originator: str,
        archive: str,
        patient_id: str = "",
        priority: int | None = None,
        is_prior: bool = False,
    ) -> Iterator[None]:
        """Let objects come while the block lasts; what a killed process expected is forgotten.

        Raises
        ------
        OutOfResourcesError
            The disk cannot be written.
        """
        content = {
            "originator": originator,
            "archive": archive,
            "sop_instance_uids": sorted(sop_instance_uids),
            "patient_id": patient_id,
            "priority": priority,
            "is_prior": is_prior,
        }
        file = self._folder / f"{secrets.token_hex(8)}.json"
        with disk_trouble():
            make_private_folder(self._folder)
            partial = file.with_suffix(".part")
            stream = create_private_file(partial)
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(json.dumps(content).encode())
            stream.flush()
            partial.rename(file)
        try:
            yield
        finally:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            stream.close()

    def under_way(self) -> list[ExpectedMove]:
        """Return what is expected just now."""
        try:
            files = sorted(self._folder.glob("*.json"))
        except OSError:
            return []
        return [one for one in map(_read, files) if one is not None]


def _read(file: Path) -> ExpectedMove | None:
    try:
        with file.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                content: Any = json.loads(stream.read(_LARGEST_BYTES))
            else:  # whoever has written it is gone
                file.unlink(missing_ok=True)
                return None
        return ExpectedMove(
            originator=str(content["originator"]),
            archive=str(content["archive"]),
            sop_instance_uids=frozenset(map(str, content["sop_instance_uids"])),
            patient_id=str(content.get("patient_id", "")),
            priority=None if content["priority"] is None else int(content["priority"]),
            is_prior=bool(content["is_prior"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
