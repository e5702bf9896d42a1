"""Says whether the studies in a folder can be analysed, by the rules of registrar and settling."""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from dicom_node.errors import RefusedError, SetAsideError
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.facts.selection import SetAside, select_images
from dicom_node.receive.arriving_object import arriving_from, file_beginning, require_acceptable
from dicom_node.receive.files.folder_files import ObjectFile, PassedOver, files_of
from dicom_node.receive.registration.header_process import HeaderReader
from dicom_node.settings.model import ModelSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from mammoclip_core.counting import counted
from mammoclip_core.findings import ImageStatus
from mammoclip_core.images.header.views import STANDARD_VIEWS
from mammoclip_core.images.selection import Generated2D, Selection

_DAMAGED: Final = frozenset({"unreadable-object", "too-large"})
"""Reasons to set an object aside for which nobody knows what is missing."""


class Fate(StrEnum):
    """What becomes of a file if it is sent to the node."""

    TAKEN = "taken"
    LEFT_OUT = "left out"
    FAILED = "failed"
    KEPT = "kept, not analysed"
    REPEATED = "repeated"
    REFUSED = "refused"


class Answer(StrEnum):
    """Whether a study can be analysed."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedFile:
    """One object with what becomes of it.

    Attributes
    ----------
    view : for example ``L CC``; empty if it is not known
    reason : why it is not analysed, or a remark on one that is
    """

    file: str
    sop_instance_uid: str
    view: str
    fate: Fate
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedStudy:
    """One study with the answer, and what the answer rests on.

    Attributes
    ----------
    study_instance_uid : empty for objects that name no study
    missing_views : standard views of which there is no image to analyse, for example ``R MLO``
    """

    study_instance_uid: str
    answer: Answer
    reason: str
    missing_views: tuple[str, ...]
    files: tuple[InspectedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything that was found in a folder."""

    studies: tuple[InspectedStudy, ...]
    passed_over: tuple[PassedOver, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every study can be analysed as it is, and nothing that may be an image is amiss.

        False where there is no study at all.
        """
        return (
            bool(self.studies)
            and all(study.answer is Answer.YES for study in self.studies)
            and not any(one.is_amiss for one in self.passed_over)
        )


def inspect_files(
    paths: Iterable[Path],
    *,
    receive: ReceiveSettings,
    model: ModelSettings,
    calling_ae_title: str,
) -> Inspection:
    """Look at the headers of all files; pixels are not decoded.

    Parameters
    ----------
    calling_ae_title : counts as the sender, for the settings that name senders
    """
    studies: dict[str, list[_Read]] = {}
    passed_over: list[PassedOver] = []
    with closing(_Reader(receive, model, calling_ae_title)) as reader:
        for found in files_of(paths):
            if isinstance(found, PassedOver):
                passed_over.append(found)
            else:
                read = reader.read(found)
                studies.setdefault(read.study_instance_uid, []).append(read)
    generated = Generated2D(model.generated_2d)
    return Inspection(
        studies=tuple(_judged(uid, files, generated) for uid, files in sorted(studies.items())),
        passed_over=tuple(passed_over),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One object with what the node reads of it, or why it would not take it."""

    file: ObjectFile
    facts: InstanceFacts | None
    problem: SetAsideError | RefusedError | None

    @property
    def study_instance_uid(self) -> str:
        return self.facts.study_instance_uid if self.facts else self.file.study_instance_uid

    def stated(self, fate: Fate, reason: str | None = None) -> InspectedFile:
        known = (self.facts.laterality, self.facts.view_position) if self.facts else ()
        return InspectedFile(
            file=str(self.file.path),
            sop_instance_uid=self.facts.sop_instance_uid if self.facts else "",
            view=" ".join(part for part in known if part),
            fate=fate,
            reason=str(self.problem) if reason is None else reason,
        )


class _Reader:
    """Reads headers as the registrar does."""

    def __init__(
        self, receive: ReceiveSettings, model: ModelSettings, calling_ae_title: str
    ) -> None:
        self._receive = receive
        self._model = model
        self._calling_ae_title = calling_ae_title
        self._key = secrets.token_bytes(32)
        self._headers = HeaderReader()

    def read(self, found: ObjectFile) -> _Read:
        receive, calling = self._receive, self._calling_ae_title
        try:
            require_acceptable(found.meta)
            file_beginning(arriving_from(found.meta, calling, receive.ae_title))
        except RefusedError as error:
            return _Read(file=found, facts=None, problem=error)
        reading = self._headers.read(
            found.path.resolve(),
            identity_key=self._key,
            secondary_capture_senders=frozenset(receive.secondary_capture_senders),
            maximum_bytes=receive.maximum_object_bytes,
            takes_tomosynthesis=self._model.tomosynthesis != "refuse",
            radiograph_senders=frozenset(receive.radiograph_senders),
            calling_ae_title=calling,
        )
        return _Read(file=found, facts=reading.facts, problem=reading.problem)

    def close(self) -> None:
        self._headers.close()


def _judged(
    study_instance_uid: str, found: Sequence[_Read], generated_2d: Generated2D
) -> InspectedStudy:
    files: list[InspectedFile] = []
    images: dict[str, _Read] = {}
    for one in _of_one_patient(found):
        uid = one.facts.sop_instance_uid if one.facts else ""
        if isinstance(one.problem, RefusedError):
            files.append(one.stated(Fate.REFUSED))
        elif not uid or (one.problem and one.problem.reason_word in _DAMAGED):
            files.append(one.stated(Fate.FAILED))
        elif uid in images:
            files.append(
                one.stated(Fate.REPEATED, "another file here has the same SOP Instance UID")
            )
        else:
            images[uid] = one
    selection = _selection(images.values(), generated_2d)
    fates = {
        **{uid: (Fate.KEPT, str(one.problem)) for uid, one in images.items()},
        **{
            one.sop_instance_uid: (
                Fate.LEFT_OUT if one.status is ImageStatus.LEFT_OUT else Fate.FAILED,
                one.reason,
            )
            for one in selection.left_out
        },
        **{image.sop_instance_uid: (Fate.TAKEN, remark) for image, remark in selection.chosen},
    }
    files += [one.stated(*fates[uid]) for uid, one in images.items()]
    answer, reason = _answer(files)
    present = {(image.laterality, image.view_position) for image, _ in selection.chosen}
    return InspectedStudy(
        study_instance_uid=study_instance_uid,
        answer=answer,
        reason=reason,
        missing_views=tuple(" ".join(view) for view in STANDARD_VIEWS if view not in present),
        files=tuple(sorted(files, key=lambda one: one.file)),
    )


def _selection(images: Iterable[_Read], generated_2d: Generated2D) -> Selection:
    registered: list[InstanceFacts] = []
    set_aside: list[SetAside] = []
    for one in images:
        assert one.facts is not None, "what has a SOP Instance UID has facts"
        if isinstance(one.problem, SetAsideError):
            set_aside.append(
                SetAside(image=one.facts, reason=one.problem.reason_word, detail=str(one.problem))
            )
        else:
            registered.append(one.facts)
    return select_images(registered, set_aside, generated_2d)


def _of_one_patient(found: Iterable[_Read]) -> Iterator[_Read]:
    """Set aside what contradicts the images before it, as the registrar does."""
    known: list[str] = []
    for one in found:
        if one.facts is None or one.problem is not None:
            yield one
        elif one.facts.patient.belongs_to(known):
            known.append(one.facts.patient.stored())
            yield one
        else:
            detail = "the study of this Study Instance UID belongs to another patient"
            yield replace(one, problem=SetAsideError("two-patients", detail))


def _answer(files: Sequence[InspectedFile]) -> tuple[Answer, str]:
    fates = [one.fate for one in files]
    taken, failed = fates.count(Fate.TAKEN), fates.count(Fate.FAILED)
    if taken and not failed:
        return Answer.YES, f"{counted(taken, 'image')} to analyse"
    if taken:
        return Answer.PARTLY, f"{counted(taken, 'image')} to analyse, {failed} that cannot be"
    if not files:
        return Answer.NO, "no image"
    reasons = Counter(f"{one.fate}: {one.reason}" for one in files)
    (commonest, _), *others = reasons.most_common()
    return Answer.NO, "no image to analyse; " + commonest + ("; and others" if others else "")
