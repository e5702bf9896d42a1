"""Asks archives that do not push for new studies, and fetches what the ledger lacks of them."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from dicom_node.errors import DeliveryError, DestinationDownError, OutOfResourcesError
from dicom_node.fetch.archives import archive_of, classes_analysed
from dicom_node.fetch.asked_for import Retrieved, Taking
from dicom_node.fetch.found_objects import FoundObject, FoundStudy
from dicom_node.fetch.held_by_the_node import held_now, known_of
from dicom_node.fetch.new_studies import NewStudies, OrthancChanges, StudiesByDate
from dicom_node.fetch.pace import Pace
from dicom_node.fetch.poll_state import FailedStudy, PollState, PollStateFile
from dicom_node.fetch.priors import priors_of
from dicom_node.fetch.retrospective_run import (
    GOOD,
    Archive,
    Fate,
    FetchedStudy,
    RetrospectiveRun,
)
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.receive.files.file_intake import FileIntake, file_intake, prepare_spool
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.poll import PollSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import NoPlaceError
from dicom_node.studies.ledger.database import Database

log = structlog.get_logger("dicom_node.fetch")

SENDER: Final = "POLL"
"""Calling AE title that polled studies count as sent by."""

_LONGEST_PAUSE: Final = timedelta(days=1)
_FIRST_PAUSE: Final = timedelta(minutes=1)
_GIVEN_UP_AFTER: Final = timedelta(days=14)
_MOST_DOUBLINGS: Final = 11
_LONGEST_SILENCE_SECONDS: Final = 600.0
_DONE: Final = GOOD | {Fate.NOT_FOUND}


class Polling:
    """The step of the node's thread that polls; does nothing where the settings name no archive.

    Parameters
    ----------
    is_ready : whether the ledger can be asked
    stopping : set when the node stops; no further study is begun then
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        database: Database,
        *,
        is_ready: Callable[[], bool],
        stopping: threading.Event,
    ) -> None:
        self._is_ready = is_ready
        self._stopping = stopping
        self._polls = [
            ArchivePoll(
                poll,
                archive := archive_of(settings, destination, spool=spool, database=database),
                new_studies_of(poll, destination, archive, settings),
                settings=settings,
                spool=spool,
                database=database,
                stopping=stopping,
            )
            for poll in settings.poll
            if (destination := settings.archive(poll.archive)) is not None
        ]

    def step(self) -> None:
        """Poll each archive whose time has come."""
        for poll in self._polls:
            if self._is_ready() and not self._stopping.is_set():
                poll.step()


class ArchivePoll:
    """One archive that is polled.

    The cursor is moved only after each study before it was fetched or is noted as failed, so that
    a crash loses none; what is fetched twice by one, the registrar knows to be the same.
    """

    def __init__(
        self,
        poll: PollSettings,
        archive: Archive,
        new_studies: NewStudies,
        *,
        settings: Settings,
        spool: Spool,
        database: Database,
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._poll = poll
        self._archive = archive
        self._new_studies = new_studies
        self._settings = settings
        self._spool = spool
        self._database = database
        self._stopping = stopping
        self._clock = clock
        self._file = PollStateFile(spool.root, poll.archive)
        self._classes = classes_analysed(settings)
        self._next = 0.0
        self._failures = 0
        self._reported: set[str] = set()
        self._taken: dict[str, set[str]] = {}
        self._counted: dict[str, int] = {}
        self._counted_on: datetime | None = None

    def step(self) -> None:
        """Search and fetch, unless it is not time yet; trouble is logged once."""
        if self._clock() < self._next:
            return
        pause = self._poll.seconds
        try:
            self._search(self._database.now())
        except (DeliveryError, OutOfResourcesError, NoPlaceError) as error:
            if not self._failures:
                log.warning("poll_failed", destination=self._poll.archive, reason=str(error))
            self._failures += 1
            longest = max(pause, _LONGEST_SILENCE_SECONDS)
            pause = min(pause * 2 ** min(self._failures, _MOST_DOUBLINGS), longest)
        else:
            if self._failures:
                log.info("poll_works_again", destination=self._poll.archive)
            self._failures = 0
        self._next = self._clock() + pause

    def _search(self, at: datetime) -> None:
        if self._counted_on is None or self._counted_on.date() != at.date():
            self._counted, self._counted_on = {}, at  # each day all are looked at once
            prepare_spool(self._spool)
        state = self._file.read(self._poll.kind)
        runs = [self._run(one_by_one=False), self._run(one_by_one=True)]
        listed: set[str] = set()
        for batch in self._new_studies.since(state.cursor, at):
            for reason in batch.refused:
                self._report_refused(reason)
            for study in batch.studies:
                uid = study.study_instance_uid
                listed.add(uid)
                if study.objects is not None and self._counted.get(uid) == study.objects:
                    continue
                if self._stopping.is_set():
                    return
                state, is_done = self._fetch_if_due(uid, state, runs, at)
                if is_done and study.objects is not None:
                    self._counted[uid] = study.objects
            if state.cursor != batch.cursor:
                state = replace(state, cursor=batch.cursor)
                self._file.write(state)
        for uid in sorted(set(state.failed) - listed):
            if self._stopping.is_set():
                return
            state, is_done = self._fetch_if_due(uid, state, runs, at)
            if not is_done and at >= state.failed[uid].since + _GIVEN_UP_AFTER:
                log.warning("poll_given_up", destination=self._poll.archive, study=uid)
                state = replace(state, failed=_without(uid, state))
                self._file.write(state)

    def _fetch_if_due(
        self, uid: str, state: PollState, runs: Sequence[RetrospectiveRun], at: datetime
    ) -> tuple[PollState, bool]:
        """Fetch a study, and return the state after it and whether nothing of it is left."""
        before = state.failed.get(uid)
        # A time further ahead than any pause is one of a clock that was wrong.
        if before is not None and at < before.due <= at + _LONGEST_PAUSE:
            return state, False
        wanted = WantedStudy(line=0, study_instance_uid=uid)
        fetched = runs[before is not None].fetch([wanted])
        if not fetched.studies:
            raise OutOfResourcesError(fetched.stopped)
        left = [one for one in fetched.studies if one.fate not in _DONE and not one.is_prior]
        if left:
            state = self._with_failure(uid, left[0], state, at)
        elif before is not None:
            state = replace(state, failed=_without(uid, state))
            self._file.write(state)
            log.info("poll_study_fetched", destination=self._poll.archive, study=uid)
        if fetched.stopped:
            raise DestinationDownError(fetched.stopped)
        return state, not left

    def _with_failure(
        self, uid: str, last: FetchedStudy, state: PollState, at: datetime
    ) -> PollState:
        before = state.failed.get(uid)
        attempts = 1 if before is None else before.attempts + 1
        pause = min(_FIRST_PAUSE * 2 ** min(attempts - 1, _MOST_DOUBLINGS), _LONGEST_PAUSE)
        if before is None:
            log.warning(
                "poll_study_failed",
                destination=self._poll.archive,
                study=uid,
                state=str(last.fate),
                reason=last.reason,
            )
        since = at if before is None else min(before.since, at)
        failed = FailedStudy(since=since, attempts=attempts, due=at + pause)
        state = replace(state, failed={**state.failed, uid: failed})
        self._file.write(state)
        return state

    def _run(self, *, one_by_one: bool) -> RetrospectiveRun:
        return RetrospectiveRun(
            _Noted(self._archive, self._taken, one_by_one=one_by_one),
            held=self._held,
            open_intake=self._opened,
            classes=self._classes,
            pace=Pace(),
            priors=priors_of(
                self._settings.fetch,
                held_now(self._database, self._spool),
                partial(self._opened, is_prior=not self._settings.fetch.analyse_priors),
                of_known=False,
            ),
            names_refusals=False,
        )

    def _held(self, study: str, wanted: Collection[str]) -> set[str]:
        with self._database.reading() as session:
            known = known_of(session, wanted)
        # What was fetched a moment ago may still wait for the registrar.
        if waiting := self._taken.pop(study, set()) - known:
            self._taken[study] = waiting
        return known | waiting

    def _opened(self, *, is_prior: bool = False) -> AbstractContextManager[FileIntake]:
        self._spool.require_space()
        return file_intake(
            self._settings.receive,
            self._spool,
            origin="poll",
            calling_ae_title=SENDER,
            is_prior=is_prior,
        )

    def _report_refused(self, reason: str) -> None:
        if reason not in self._reported:
            self._reported.add(reason)
            log.warning("fetched_answer_set_aside", destination=self._poll.archive, detail=reason)


def new_studies_of(
    poll: PollSettings,
    destination: object,
    archive: Archive,
    settings: Settings,
) -> NewStudies:
    """Return by what new studies of an archive are found, as its settings say."""
    if poll.orthanc_url is not None and isinstance(destination, DicomwebDestination):
        return OrthancChanges(destination, poll.orthanc_url, tls=settings.tls)
    return StudiesByDate(archive, overlap_days=poll.overlap_days)


class _Noted:
    """An archive of which it is noted what came.

    Parameters
    ----------
    one_by_one : ask for each object by itself, so that one that never comes keeps back no other
    """

    def __init__(self, archive: Archive, taken: dict[str, set[str]], *, one_by_one: bool) -> None:
        self._archive = archive
        self._taken = taken
        self._one_by_one = one_by_one
        self.studies = archive.studies
        self.objects = archive.objects

    def retrieve(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: Taking,
    ) -> Retrieved:
        """Retrieve objects into the spool.

        Raises
        ------
        DestinationDownError, NotOfferedError
            Nothing came, or not all were asked for.
        """
        portions = [[one] for one in objects] if self._one_by_one else [list(objects)]
        whole, last_error = Retrieved(), None
        for portion in portions:
            try:
                came = self._archive.retrieve(study, portion, classes, intake)
            except DeliveryError as error:
                last_error = error
                continue
            whole.kept |= came.kept
            whole.refused += [one for one in came.refused if one not in whole.refused]
            self._taken.setdefault(study.study_instance_uid, set()).update(came.kept)
        if last_error is not None and not whole.kept:
            raise last_error
        return whole


def _without(uid: str, state: PollState) -> dict[str, FailedStudy]:
    return {other: one for other, one in state.failed.items() if other != uid}
