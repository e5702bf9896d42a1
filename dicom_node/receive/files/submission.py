"""Puts the DICOM files of a folder into the spool, study by study."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from dicom_node.errors import OutOfResourcesError, RefusedError
from dicom_node.receive.files.file_intake import TakenObject
from dicom_node.receive.files.folder_files import ObjectFile, PassedOver, files_of


class Intake(Protocol):
    """What takes files: the spool of this machine, or that of a node elsewhere."""

    @property
    def maximum_bytes(self) -> int:
        """Return the largest size of an object; 0 if it is not known."""

    def take(self, stream: IO[bytes]) -> TakenObject:
        """Take one DICOM file, or raise a RefusedError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedStudy:
    """What is in the spool of one study.

    Attributes
    ----------
    study_instance_uid : empty for objects in which it is not found
    """

    study_instance_uid: str
    files: int
    size_bytes: int


@dataclass(slots=True, kw_only=True)
class Submission:
    """What became of every file.

    Attributes
    ----------
    refused : objects that the node does not take, and files that could not be read to their end
    stopped : why it ended before everything was submitted; empty if it did not
    left : files that were not submitted for that
    """

    studies: list[SubmittedStudy] = field(default_factory=list)
    refused: list[PassedOver] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    stopped: str = ""
    left: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every file that may be an image is in the spool, and there is one."""
        amiss = any(one.is_amiss for one in self.passed_over)
        return bool(self.studies) and not (self.stopped or self.refused or amiss)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesToSubmit:
    """The objects of each study, and what is passed over; the study is empty where none is found.

    Together, however the files lie, so that a study is not taken for complete while more come.
    """

    studies: Mapping[str, Sequence[ObjectFile]]
    passed_over: Sequence[PassedOver]

    @property
    def count(self) -> int:
        """Return how many objects there are."""
        return sum(map(len, self.studies.values()))


def files_to_submit(paths: Iterable[Path]) -> FilesToSubmit:
    """Find every DICOM object among files and in folders."""
    studies: dict[str, list[ObjectFile]] = {}
    passed_over: list[PassedOver] = []
    for found in files_of(paths):
        if isinstance(found, PassedOver):
            passed_over.append(found)
        else:
            studies.setdefault(found.study_instance_uid, []).append(found)
    return FilesToSubmit(studies=studies, passed_over=passed_over)


def submit_files(
    found: FilesToSubmit,
    intake: Intake,
    *,
    on_file: Callable[[], object] = lambda: None,
) -> Submission:
    """Take every object, study by study; safe to repeat after a crash.

    Parameters
    ----------
    on_file : called after each file
    """
    submission = Submission(passed_over=list(found.passed_over))
    done = 0
    for uid, files in found.studies.items():
        taken: list[int] = []
        for file in files:
            try:
                taken.append(_take(file, intake))
            except OutOfResourcesError as error:
                if file.size_bytes <= intake.maximum_bytes:
                    submission.stopped, submission.left = str(error), found.count - done
                    break
                submission.refused.append(_refused(file, error))
            except (RefusedError, OSError) as error:
                submission.refused.append(_refused(file, error))
            done += 1
            on_file()
        if taken:
            submission.studies.append(
                SubmittedStudy(study_instance_uid=uid, files=len(taken), size_bytes=sum(taken))
            )
        if submission.stopped:
            break
    return submission


def _take(file: ObjectFile, intake: Intake) -> int:
    with file.path.open("rb") as stream:
        return intake.take(stream).size_bytes


def _refused(file: ObjectFile, error: RefusedError | OSError) -> PassedOver:
    reason = str(error) if isinstance(error, RefusedError) else f"cannot be read: {error.strerror}"
    return PassedOver(path=file.path, reason=reason, is_amiss=True)
