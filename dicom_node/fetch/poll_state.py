"""How far an archive was polled, and which of its studies failed: kept across restarts."""

import json
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import create_private_file, make_lasting_folders

log = structlog.get_logger("dicom_node.fetch")

FOLDER: Final = "polls"
"""Folder of the spool, with one file for each archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStudy:
    """A study that could not be fetched whole.

    Attributes
    ----------
    since : when it failed first
    attempts : how many have failed
    due : when it is tried again
    """

    since: datetime
    attempts: int
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PollState:
    """Up to where everything was fetched, but for what is named as failed.

    Attributes
    ----------
    kind : of the poll, which says what the cursor means
    cursor : empty before the first search
    failed : by Study Instance UID
    """

    kind: str
    cursor: str = ""
    failed: dict[str, FailedStudy] = field(default_factory=dict)


class PollStateFile:
    """The file of one archive in the folder ``polls`` of a spool."""

    def __init__(self, root: Path, archive: str) -> None:
        self._folder = root / FOLDER
        self._archive = archive
        self._file = self._folder / f"{archive}.json"

    def read(self, kind: str) -> PollState:
        """Return what was written last; a new state if there is none of this kind."""
        try:
            with disk_trouble():
                content = json.loads(self._file.read_bytes())
            if content["kind"] != kind:
                return PollState(kind=kind)
            failed = {
                str(uid): FailedStudy(
                    since=_time(one["since"]), attempts=int(one["attempts"]), due=_time(one["due"])
                )
                for uid, one in content["failed"].items()
            }
            return PollState(kind=kind, cursor=str(content["cursor"]), failed=failed)
        except FileNotFoundError:
            return PollState(kind=kind)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            log.warning(
                "poll_begins_anew",
                destination=self._archive,
                detail=f"{FOLDER}/{self._file.name} of the spool cannot be read",
            )
            return PollState(kind=kind)

    def write(self, state: PollState) -> None:
        """Write a state; on return it is flushed to disk, and after a crash old or new is there.

        Raises
        ------
        OutOfResourcesError
            The disk cannot be written.
        """
        content = {
            "kind": state.kind,
            "cursor": state.cursor,
            "failed": {
                uid: {
                    "since": one.since.isoformat(),
                    "attempts": one.attempts,
                    "due": one.due.isoformat(),
                }
                for uid, one in state.failed.items()
            },
        }
        partial = self._file.with_suffix(".part")
        with disk_trouble():
            make_lasting_folders(self._folder.parent, [self._folder])
            partial.unlink(missing_ok=True)
            with create_private_file(partial) as stream:
                stream.write(json.dumps(content).encode())
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self._file)
            flush_folder(self._folder)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time
