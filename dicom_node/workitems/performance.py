"""Performs a claimed workitem: its images, its progress, and its end (RAD-84, RAD-85)."""

import json
import threading
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.orm import Session

from dicom_node.errors import ForbiddenTransitionError, OutOfResourcesError
from dicom_node.facts.priority import Priority
from dicom_node.fetch.found_objects import OtherStudyError
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import NoPlaceError
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.procedure_steps import workitems
from dicom_node.studies.ledger.procedure_steps.tables import Workitem, WorkitemState
from dicom_node.studies.ledger.procedure_steps.workitems import change
from dicom_node.studies.ledger.tables import Study
from dicom_node.studies.operator_actions import cancel_study
from dicom_node.studies.prioritising import set_priority
from dicom_node.workitems import messages
from dicom_node.workitems.auditing import WorkitemAudit
from dicom_node.workitems.claiming import Claims, announce_inputs
from dicom_node.workitems.discontinuation import OF_REASONS, UNSPECIFIED
from dicom_node.workitems.inputs import Fetched, Inputs
from dicom_node.workitems.judging import code_in
from dicom_node.workitems.messages import Performed
from dicom_node.workitems.standing import Standing, outputs_of, standing_of
from dicom_node.workitems.ups_server import Answer, UpsServer
from dicom_node.workitems.workitem import CANCELED, COMPLETED, IN_PROGRESS, Code, workitem_in
from mammoclip_core.counting import counted

log = structlog.get_logger("dicom_node.workitems")

_FIRST_PAUSE: Final = timedelta(seconds=30)
_LONGEST_PAUSE: Final = timedelta(minutes=15)
_MOST_DOUBLINGS: Final = 6
_NAMED: Final = 10
"""How many of the images that did not come are named."""

_TOO_LATE: Final = "; a request to cancel it came after it was analysed, and is not followed"


class Performance:
    """Takes the workitems that the node holds a step further, one at a time."""

    def __init__(
        self,
        settings: Settings,
        server: UpsServer,
        spool: Spool,
        database: Database,
        *,
        stopping: threading.Event,
    ) -> None:
        self._settings = settings
        self._server = server
        self._database = database
        self._audit = WorkitemAudit(settings, database)
        self._claims = Claims(server, database, self._audit)
        self.inputs = Inputs(settings, spool, database, stopping=stopping.is_set)
        self._prioritised: set[str] = set()
        self._said: set[tuple[str, str]] = set()

    def go_on(self, row: Workitem) -> None:
        """Take a workitem a step further; whatever ends it is stored before it is told."""
        if row.state == WorkitemState.HELD:
            self._proceed(row)
        if row.state == WorkitemState.COMPLETING:
            self._complete(row)
        if row.state == WorkitemState.CANCELING:
            self._cancel(row)

    def _proceed(self, row: Workitem) -> None:
        with self._database.reading() as session:
            standing = self._standing(session, row)
        if row.cancel_asked and not standing.is_answered:
            self._stop(row)
            return
        if standing.stopped is not None:
            self._give_up(row, *standing.stopped)
            return
        is_lacking = bool(standing.missing) or standing.study_id is None
        is_unknown = self.inputs.may_be_fetched and not json.loads(row.inputs)
        looks = is_lacking or (is_unknown and not standing.is_answered)
        if looks and not self._find_inputs(row, standing, may_end=is_lacking):
            return
        if standing.study_id is not None and not standing.is_answered:
            self._prioritise(row, standing.study_id)
        if standing.revision:
            with self._database.writing() as session:
                change(
                    session,
                    row,
                    state=WorkitemState.COMPLETING,
                    analysis_revision=standing.revision,
                    ended_at=self._database.now(),
                )
            return
        self._tell(row, standing)

    def _standing(self, session: Session, row: Workitem) -> Standing:
        return standing_of(session, row, confirming=self._settings.confirming_names)

    def _find_inputs(self, row: Workitem, standing: Standing, *, may_end: bool) -> bool:
        """Fetch what is missing if it can be, or wait; return whether the workitem goes on.

        Parameters
        ----------
        may_end : whether the workitem is canceled if it has waited for too long
        """
        at = self._database.now()
        patience = timedelta(seconds=self._settings.ups.inputs_within_seconds)
        if may_end and at > (row.claimed_at or at) + patience:
            self._give_up(row, "images-missing", _in_words(standing))
            return False
        if self.inputs.may_be_fetched and row.due_at <= at:
            return self._fetch(row, standing, at)
        return True

    def _fetch(self, row: Workitem, standing: Standing, at: datetime) -> bool:
        answer = self._server.workitem(row.workitem_uid)
        if answer is None:
            return self._claims.lose(row, "the server knows it no more")
        self._tell(row, standing)
        if row.state != WorkitemState.HELD:
            return False
        workitem = workitem_in(answer, uid=row.workitem_uid)
        try:
            fetched = self.inputs.fetch(
                workitem, standing.missing, goes_on=lambda: self._goes_on(row)
            )
        except OtherStudyError as error:
            self._give_up(row, "other-study", str(error))
            return False
        except (OutOfResourcesError, NoPlaceError) as error:
            fetched = Fetched(inputs=(), reason=str(error))
        if fetched.reason and (row.workitem_uid, fetched.reason) not in self._said:
            self._said.add((row.workitem_uid, fetched.reason))
            log.warning("workitem_inputs_missing", workitem=row.workitem_uid, reason=fetched.reason)
        pause = min(_FIRST_PAUSE * 2 ** min(row.attempts, _MOST_DOUBLINGS), _LONGEST_PAUSE)
        changes = {"due_at": at + pause, "attempts": row.attempts + 1}
        with self._database.writing() as session:
            if fetched.inputs and not json.loads(row.inputs):
                changes["inputs"] = json.dumps([*fetched.inputs])
                announce_inputs(session, row, fetched.inputs, at=at)
            change(session, row, **changes)
        return True

    def _goes_on(self, row: Workitem) -> bool:
        with self._database.reading() as session:
            now = workitems.workitem_of(session, row.workitem_uid)
            return now is not None and not now.cancel_asked

    def _prioritise(self, row: Workitem, study_id: int) -> None:
        """Give the study the priority of the workitem, once (P15 of the profile's rows)."""
        if row.workitem_uid in self._prioritised:
            return
        with self._database.writing() as session:
            study = session.get(Study, study_id)
            if study is not None and study.priority != row.priority:
                word = Priority(row.priority).word
                set_priority(session, study.study_instance_uid, word)
        self._prioritised.add(row.workitem_uid)

    def _tell(self, row: Workitem, standing: Standing) -> None:
        """Report progress if it has changed, and not more often than the settings say."""
        text = standing.text + _TOO_LATE * row.cancel_asked
        at = self._database.now()
        shortest = timedelta(seconds=self._settings.ups.progress_seconds)
        is_early = row.told_at is not None and at < row.told_at + shortest
        if text == row.told or is_early or not self._is_still_wanted(row):
            return
        sent = messages.progress(row.transaction_uid, standing.percent, text)
        if self._server.update(row.workitem_uid, sent) is not Answer.DONE:
            self._claims.lose(row, "the server takes no progress from this node any more")
            return
        with self._database.writing() as session:
            change(session, row, told=text, told_at=at)

    def _is_still_wanted(self, row: Workitem) -> bool:
        """Look at the workitem before its progress is replaced.

        A request to cancel may stand in that; the next step follows it.
        """
        answer = self._server.workitem(row.workitem_uid)
        if answer is None:
            return self._claims.lose(row, "the server knows it no more")
        workitem = workitem_in(answer, uid=row.workitem_uid)
        if workitem.state != IN_PROGRESS:
            ended = workitem.state or "no state"
            return self._claims.lose(row, f"it was set to {ended} by somebody else")
        if not workitem.is_cancel_asked or row.cancel_asked:
            return True
        with self._database.writing() as session:
            workitems.note_cancel_asked(session, row.workitem_uid)
        log.info("workitem_cancel_asked", workitem=row.workitem_uid)
        return False

    def _stop(self, row: Workitem) -> None:
        """Follow a request to cancel: stop the analysis, unless another workitem needs it."""
        with self._database.writing() as session:
            at = self._database.now()
            standing = self._standing(session, row)
            if standing.is_answered:
                return  # it was finished meanwhile, which the next step sees
            if standing.study_id is not None and not workitems.is_shared(session, row):
                try:
                    cancel_study(session, row.study_instance_uid, at=at)
                except ForbiddenTransitionError:
                    return
            change(
                session,
                row,
                state=WorkitemState.CANCELING,
                reason="canceled on request",
                discontinuation=OF_REASONS["cancel-asked"],
                ended_at=at,
            )

    def _give_up(self, row: Workitem, word: str, reason: str) -> None:
        with self._database.writing() as session:
            change(
                session,
                row,
                state=WorkitemState.CANCELING,
                reason=reason,
                discontinuation=OF_REASONS.get(word, UNSPECIFIED),
                ended_at=self._database.now(),
            )
        log.warning("workitem_set_aside", workitem=row.workitem_uid, state=word, reason=reason)

    def _complete(self, row: Workitem) -> None:
        with self._database.reading() as session:
            outputs = outputs_of(session, row, self._settings)
        done = self._performed(row, outputs)
        text = "results are stored" + _TOO_LATE * row.cancel_asked
        self._end(
            row,
            messages.performed(row.transaction_uid, done, text),
            COMPLETED,
            WorkitemState.COMPLETED,
        )

    def _cancel(self, row: Workitem) -> None:
        sent = messages.canceled(
            row.transaction_uid,
            self._performed(row, ()),
            discontinuation=row.discontinuation,
            why=row.reason,
        )
        self._end(row, sent, CANCELED, WorkitemState.CANCELED)

    def _end(self, row: Workitem, final: bytes, state: str, ended: WorkitemState) -> None:
        """Tell what was done, and then that it has ended; either may have been told before."""
        uid = row.workitem_uid
        if self._server.update(uid, final) is Answer.GONE:
            self._claims.lose(row, "the server knows it no more")
            return
        # A refusal of the update may mean that the end was told before, and its answer lost.
        if self._server.change_state(uid, state, row.transaction_uid) is not Answer.DONE:
            shown = self._server.workitem(uid)
            is_so = shown is not None and workitem_in(shown, uid=uid).state == state
            if not is_so:
                self._not_ended(row, state)
                return
        is_done = state == COMPLETED
        self._audit.enter(row, "completed" if is_done else "canceled")
        with self._database.writing() as session:
            change(session, row, state=ended)
        self._prioritised.discard(uid)
        event = "workitem_completed" if is_done else "workitem_canceled"
        log.info(event, workitem=uid, study=row.study_instance_uid, reason=row.reason)

    def _not_ended(self, row: Workitem, state: str) -> None:
        """Find out why the server does not take an end: it is another's, or lacks something."""
        if not self._claims.is_ours(row):
            self._claims.lose(row, "the server does not take the node for its performer any more")
        elif state == COMPLETED:
            self._give_up(row, "not-delivered", "the server did not take it for completed")
        else:
            self._claims.lose(row, "the server does not let the node cancel it")

    def _performed(self, row: Workitem, outputs: tuple[messages.Output, ...]) -> Performed:
        at = row.ended_at or self._database.now()
        value, scheme, meaning = json.loads(row.code)
        return Performed(
            began_at=row.claimed_at or at,
            ended_at=at,
            station=self._station(),
            workitem_code=Code(value, scheme, meaning),
            outputs=outputs,
        )

    def _station(self) -> Code:
        if own := self._settings.ups.station_names:
            return code_in(own[0])
        title = self._settings.receive.ae_title
        return Code(title, "L", f"Mammography node {title}")


def _in_words(standing: Standing) -> str:
    if not standing.missing:
        return "no image of its study has come"
    named = ", ".join(standing.missing[:_NAMED])
    more = len(standing.missing) - _NAMED
    missing = counted(len(standing.missing), "image")
    return f"{missing} did not come: {named}" + f" and {more} more" * (more > 0)
