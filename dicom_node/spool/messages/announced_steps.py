"""Procedure steps and notifications that others announce: on disk before they are answered.

One file for each SOP Instance, in the folder ``announced`` of the spool. It stays after the ledger
has it, without what it says of a study, so that a second N-CREATE is still known to be one.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError, OutOfResourcesError
from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import (
    create_private_file,
    ensure_private_file,
    make_private_folder,
)

FOLDER: Final = "announced"
IN_PROGRESS: Final = "in progress"

_MOST: Final = 20_000
_SUFFIX: Final = ".json"


class StepError(NodeError):
    """The step cannot be entered or changed like this."""

    reason = "announced-step"


class DoubledStepError(StepError):
    """There is one with this SOP Instance UID already."""


class UnknownStepError(StepError):
    """There is none with this SOP Instance UID."""


class EndedStepError(StepError):
    """It was completed or discontinued, and is changed no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedStep:
    """What a peer has announced.

    Attributes
    ----------
    kind : mpps or ian
    state : in progress, completed or discontinued
    studies : digest of the patient, as the ledger stores it, by Study Instance UID
    images : SOP Instance UIDs of mammograms
    """

    sop_instance_uid: str
    kind: str
    state: str
    calling_ae_title: str = ""
    studies: dict[str, str]
    images: list[str]


class AnnouncedSteps:
    """The folder ``announced`` of a spool, which several processes write to.

    Parameters
    ----------
    root : folder of the spool, which exists
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def create(self, step: AnnouncedStep) -> None:
        """Enter a step; on return it is flushed to disk.

        Raises
        ------
        DoubledStepError
        OutOfResourcesError
            There are too many, or the disk cannot be written.
        """
        with disk_trouble(), self._locked():
            file = self._file(step.sop_instance_uid)
            if file.exists():
                raise DoubledStepError("there is one with this SOP Instance UID already")
            if sum(1 for _ in self._folder.glob(f"*{_SUFFIX}")) >= _MOST:
                raise OutOfResourcesError(f"{_MOST} announced steps are kept")
            self._write(file, step)

    def change(self, sop_instance_uid: str, *, state: str | None, images: list[str] | None) -> None:
        """Change a step that is in progress; on return it is flushed to disk.

        Raises
        ------
        UnknownStepError, EndedStepError
        OutOfResourcesError
            The disk cannot be written.
        """
        with disk_trouble(), self._locked():
            file = self._file(sop_instance_uid)
            step = _read(file)
            if step is None:
                raise UnknownStepError("there is no step with this SOP Instance UID")
            if step.state != IN_PROGRESS:
                raise EndedStepError(f"the step is {step.state}")
            changed = replace(
                step,
                state=step.state if state is None else state,
                images=step.images if images is None else images,
            )
            self._write(file, changed)

    def waiting(self) -> Iterator[tuple[str, AnnouncedStep]]:
        """Yield the steps that say something of a study, each with what marks its version."""
        if not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if file.is_symlink() or not file.is_file():
                continue
            version = f"{file.name} {file.stat().st_mtime_ns}"
            step = _read(file)
            if step is not None and step.studies:
                yield version, step

    def entered(self, step: AnnouncedStep) -> None:
        """Keep of an ended step that is in the ledger no more than that there was one."""
        with disk_trouble(), self._locked():
            file = self._file(step.sop_instance_uid)
            if _read(file) == step and step.state != IN_PROGRESS:
                self._write(file, replace(step, studies={}, images=[]))

    def forget(self, *, older_than_seconds: float) -> None:
        """Delete steps that nothing has changed for long."""
        if not self._folder.is_dir():
            return
        with disk_trouble(), self._locked():
            for file in self._folder.glob(f"*{_SUFFIX}"):
                if time.time() - file.stat().st_mtime > older_than_seconds:
                    file.unlink(missing_ok=True)

    def _file(self, sop_instance_uid: str) -> Path:
        # A peer's text is never a path.
        return self._folder / f"{hashlib.sha256(sop_instance_uid.encode()).hexdigest()}{_SUFFIX}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_private_folder(self._folder)
        lock = self._folder / "lock"
        ensure_private_file(lock)
        with lock.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _write(self, file: Path, step: AnnouncedStep) -> None:
        partial = file.with_suffix(".part")
        partial.unlink(missing_ok=True)
        with create_private_file(partial) as stream:
            stream.write(json.dumps(asdict(step)).encode())
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
        for folder in (self._folder.parent, self._folder):
            flush_folder(folder)


def _read(file: Path) -> AnnouncedStep | None:
    try:
        return AnnouncedStep(**json.loads(file.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
