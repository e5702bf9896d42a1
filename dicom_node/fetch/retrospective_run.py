"""Fetches the studies of a list from an archive into the spool, a study at a time."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

import structlog

from dicom_node.errors import DeliveryError, OutOfResourcesError
from dicom_node.fetch.asked_for import Retrieved, Taking
from dicom_node.fetch.found_objects import FoundObject, FoundStudy, OtherStudyError
from dicom_node.fetch.pace import Pace
from dicom_node.fetch.priors import Priors
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.fetch.trial import Trial
from dicom_node.receive.files.file_intake import FileIntake
from mammoclip_core.counting import counted

log = structlog.get_logger("dicom_node.fetch")

_MOST_FAILURES: Final = 3
"""Studies in a row that may fail before the archive counts as down."""


class Archive(Protocol):
    """What is searched and retrieved from."""

    def studies(self, wanted: WantedStudy) -> list[FoundStudy]:
        """Return the studies that a line of a list means."""

    def objects(self, study: FoundStudy, classes: frozenset[str]) -> list[FoundObject]:
        """Return the objects of a study that are of some SOP Classes."""

    def retrieve(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: Taking,
    ) -> Retrieved:
        """Retrieve objects into the spool."""


class Fate(StrEnum):
    """What became of a line of the list, or of a study that it means."""

    TO_RETRIEVE = "to retrieve"
    RETRIEVED = "retrieved"
    THERE = "in the node already"
    NOT_FOUND = "not found"
    NO_MAMMOGRAM = "no mammogram"
    SET_ASIDE = "set aside"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


GOOD: Final = frozenset({Fate.TO_RETRIEVE, Fate.RETRIEVED, Fate.THERE, Fate.NO_MAMMOGRAM})
"""Of which nothing is left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedStudy:
    """One study of a line, or a line without one.

    Attributes
    ----------
    objects : that are to be retrieved, or were
    size_bytes : of those, an estimate
    is_prior : whether it is a former one of the patient that the line means
    """

    line: int
    study_instance_uid: str
    fate: Fate
    reason: str = ""
    objects: int = 0
    size_bytes: int = 0
    is_prior: bool = False


@dataclass(slots=True)
class Fetched:
    """What became of all lines.

    Attributes
    ----------
    stopped : why it ended before the last line; empty if it did not
    searching_seconds : how long the archive took to say what there is
    """

    studies: list[FetchedStudy] = field(default_factory=list)
    stopped: str = ""
    searching_seconds: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether every line was found, and nothing is left to do."""
        return not self.stopped and all(one.fate in GOOD for one in self.studies)


class RetrospectiveRun:
    """Goes through a list once; repeated after a crash, it fetches only what the node lacks.

    Parameters
    ----------
    held : returns which of some objects of a study the node has received already
    open_intake : opens the way into the spool, for each study anew; None: a dry run
    trial : measures some studies of a dry run
    priors : which former studies are fetched besides; None: none
    classes : SOP Classes that are analysed; no others are retrieved
    names_refusals : whether answers that are set aside are named in the log, too
    """

    def __init__(
        self,
        archive: Archive,
        *,
        held: Callable[[str, Collection[str]], Collection[str]],
        open_intake: Callable[[], AbstractContextManager[FileIntake]] | None,
        classes: frozenset[str],
        pace: Pace,
        trial: Trial | None = None,
        priors: Priors | None = None,
        names_refusals: bool = True,
    ) -> None:
        self._trial = trial
        self._priors = priors
        self._names_refusals = names_refusals
        self._archive = archive
        self._held = held
        self._open_intake = open_intake
        self._classes = classes
        self._pace = pace
        self._searching_seconds = 0.0
        self._failures = 0

    def fetch(
        self, wanted: Iterable[WantedStudy], *, on_line: Callable[[], object] = lambda: None
    ) -> Fetched:
        """Search for each line, and retrieve what the node lacks of it."""
        fetched = Fetched()
        for position, line in enumerate(wanted):
            try:
                fetched.studies += self._line(line, position)
            except OutOfResourcesError as error:
                fetched.stopped = str(error)
                break
            except DeliveryError as error:
                fetched.studies.append(_of(line, Fate.FAILED, str(error)))
                self._failures += 1
                if self._failures == _MOST_FAILURES:
                    fetched.stopped = f"{_MOST_FAILURES} lines in a row failed: {error}"
                    break
            else:
                self._failures = 0
            on_line()
        fetched.searching_seconds = self._searching_seconds
        return fetched

    def _line(self, line: WantedStudy, position: int) -> list[FetchedStudy]:
        try:
            with self._searching():
                studies = self._archive.studies(line)
            if not studies:
                return [_of(line, Fate.NOT_FOUND, "the archive has no such study of mammograms")]
            _require_one_patient(studies)
            return [one for study in studies for one in self._whole(line, study, position)]
        except OtherStudyError as error:
            if self._names_refusals:
                log.warning("fetched_answer_set_aside", reason=error.reason, detail=str(error))
            return [_of(line, Fate.SET_ASIDE, str(error))]

    def _whole(self, line: WantedStudy, study: FoundStudy, position: int) -> Iterator[FetchedStudy]:
        own = self._study(line, study, position)
        yield own
        yield from self._priors_of(line, study, own.fate, position)

    def _priors_of(
        self, line: WantedStudy, study: FoundStudy, fate: Fate, position: int
    ) -> list[FetchedStudy]:
        """Fetch former studies; what goes wrong with one takes nothing from the study itself."""
        priors = self._priors
        wanted = None if priors is None else priors.wanted(study, line=line.line)
        is_new = fate in {Fate.RETRIEVED, Fate.INCOMPLETE, Fate.TO_RETRIEVE}
        if (
            priors is None
            or wanted is None
            or not (is_new or (priors.of_known and fate is Fate.THERE))
        ):
            return []
        found: list[FetchedStudy] = []
        try:
            with self._searching():
                former = priors.chosen(study, self._archive.studies(wanted))
            for one in former:
                found.append(self._study(line, one, position, priors))
        except OtherStudyError:
            pass  # it has others only: none of this patient and time
        except DeliveryError as error:
            found.append(_of(line, Fate.FAILED, f"former studies: {error}"))
        return [replace(one, is_prior=True) for one in found]

    @contextmanager
    def _searching(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._searching_seconds += time.perf_counter() - began

    def _study(
        self, line: WantedStudy, study: FoundStudy, position: int, priors: Priors | None = None
    ) -> FetchedStudy:
        held = self._held if priors is None else priors.held
        open_intake = self._open_intake if priors is None else priors.open_intake
        uid = study.study_instance_uid
        with self._searching():
            found = self._archive.objects(study, self._classes)
        if not found:
            return _of(line, Fate.NO_MAMMOGRAM, "no object of a kind that is analysed", uid)
        there = held(uid, [one.sop_instance_uid for one in found])
        missing = [one for one in found if one.sop_instance_uid not in there]
        size = sum(one.size_bytes for one in missing)
        if not missing:
            return _of(line, Fate.THERE, "", uid)
        if open_intake is None:
            if self._trial is not None:
                self._trial.measure(self._archive, study, missing, self._classes, position=position)
            return FetchedStudy(
                line=line.line,
                study_instance_uid=uid,
                fate=Fate.TO_RETRIEVE,
                objects=len(missing),
                size_bytes=size,
            )
        self._pace.wait()
        with open_intake() as intake:
            retrieved = self._archive.retrieve(study, missing, self._classes, intake)
        if retrieved.refused and self._names_refusals:
            log.warning("fetched_answer_set_aside", study=uid, detail="; ".join(retrieved.refused))
        return _judged(line, study, missing, retrieved)


def _require_one_patient(studies: Sequence[FoundStudy]) -> None:
    """Refuse an answer of several patients: archives of several sites share accession numbers."""
    patients = {study.patient_id for study in studies} - {""}
    if len(patients) > 1:
        raise OtherStudyError(
            f"the archive has this for {len(patients)} patients: add patient_id to the line"
        )


def _judged(
    line: WantedStudy, study: FoundStudy, missing: Sequence[FoundObject], retrieved: Retrieved
) -> FetchedStudy:
    left = [one for one in missing if one.sop_instance_uid not in retrieved.kept]
    fate = Fate.RETRIEVED
    if left:
        fate = Fate.INCOMPLETE if retrieved.kept else Fate.SET_ASIDE
    reasons = [f"{counted(len(left), 'object')} did not come"] if left else []
    reasons += retrieved.refused
    return FetchedStudy(
        line=line.line,
        study_instance_uid=study.study_instance_uid,
        fate=fate,
        reason="; ".join(reasons),
        objects=len(retrieved.kept),
        size_bytes=sum(o.size_bytes for o in missing if o.sop_instance_uid in retrieved.kept),
    )


def _of(line: WantedStudy, fate: Fate, reason: str, uid: str = "") -> FetchedStudy:
    return FetchedStudy(
        line=line.line,
        study_instance_uid=uid or line.study_instance_uid,
        fate=fate,
        reason=reason,
    )
