"""Delivers the result objects of one analysis to one destination, beside the process's tasks."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import select

from dicom_node.errors import (
    DestinationDownError,
    LedgerError,
    OutOfResourcesError,
    OvertakenError,
    SettingsError,
)
from dicom_node.facts.priority import Priority
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.routing.route import Recipient
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome, Sender
from dicom_node.send.retry_policy import next_attempt
from dicom_node.spool.stored_spool import SpoolFiles
from dicom_node.studies.ledger.database import DATABASE_TROUBLE
from dicom_node.studies.ledger.destinations import circuits
from dicom_node.studies.ledger.destinations.circuits import Circuit
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.storing import Stored
from dicom_node.studies.ledger.tables import Analysis, Delivery, ResultObject, Study
from dicom_node.studies.reach import UnreachedSpoolError
from mammoclip_core.counting import counted
from mammoclip_core.file_digest import file_sha256
from worker.deliver.dry_delivery import hold_dry
from worker.deliver.known_destination import known_destination
from worker.deliver.probing import is_answered
from worker.runtime import Runtime

log = structlog.get_logger("worker.deliver")


_AFTER_AN_END: Final = timedelta(seconds=5)
"""Time in which a process that was told to end is gone, and with it what it was sending."""


_UNTIL_OTHERS_SEND: Final = 60.0
"""Seconds for which a worker puts off what only others can send."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed.

    Attributes
    ----------
    cause : what is wrong with the destination as a whole, which took nothing; else empty
    is_final : whether another attempt would end alike
    """

    reason: str
    cause: str = ""
    is_final: bool = False


def begin_delivery(node: Runtime, delivery_id: int) -> bool:
    """Have a delivery attempted in the lane of its destination; return at once if it was due."""
    with node.database.reading() as session:
        row = session.get(Delivery, delivery_id)
    if row is None or row.state is not DeliveryState.DUE:
        return False
    if node.settings.destination(row.destination) is None:
        _leave_to_others(node, row)
        return True
    node.lanes.take(row.destination, delivery_id, partial(attempt_delivery, node))
    return True


def _leave_to_others(node: Runtime, delivery: Delivery) -> None:
    """Put off what the node knows where to send, and this worker does not."""
    if delivery.destination not in node.unknown_destinations:
        node.unknown_destinations.add(delivery.destination)
        log.warning(
            "destination_unknown",
            destination=delivery.destination,
            reason="it is in the node's settings and not in those of this worker: give it the "
            "same, and start it again",
        )
    node.put_off(delivery.id, _UNTIL_OTHERS_SEND)


def attempt_delivery(node: Runtime, delivery_id: int) -> None:
    """Attempt one delivery if it is still due."""
    # The study is known later; bound here, it is taken away again at the end.
    with structlog.contextvars.bound_contextvars(delivery=delivery_id, study=""):
        try:
            if not is_answered(node, delivery_id):
                return
            with node.leased(Delivery, delivery_id) as taken:
                node.site.ledger_answers()
                if taken is not None:
                    structlog.contextvars.bind_contextvars(study=_study_of(node, taken[1]))
                    deliver_results(node, *taken)
        # Nothing is lost: what was claimed loses its lease, what was not is told again.
        except (DATABASE_TROUBLE, LedgerError) as error:
            node.site.note_silent_ledger(error)


def _study_of(node: Runtime, delivery: Delivery) -> str:
    """Return the Study Instance UID of what is delivered."""
    query = select(Study.study_instance_uid).join(Analysis, Analysis.study_id == Study.id)
    with node.database.reading() as session:
        return session.scalars(query.where(Analysis.id == delivery.analysis_id)).one()


def end_deliveries(node: Runtime, *, at_once: bool = False) -> None:
    """Give deliveries a while to end; those that do not are due again, for another worker."""
    unfinished = node.lanes.close(0 if at_once else node.settings.work.shutdown_seconds)
    if unfinished:
        with node.database.writing() as session:
            circuits.give_up_probes(session, node.holder)
    for delivery_id in unfinished:
        with node.database.writing() as session:
            at = database_time(session)
            reason = "the worker was told to end while it was sending"
            was_given_back = outcomes.give_back_unfinished(
                session,
                delivery_id,
                holder=node.holder,
                reason=reason,
                due_at=at + _AFTER_AN_END,
                at=at,
            )
        if was_given_back:
            log.warning("delivery_given_back", delivery=delivery_id, reason=reason)


def deliver_results(node: Runtime, held: Claim, delivery: Delivery) -> None:
    """Send the objects that the destination has not accepted yet, and record the outcome.

    Raises
    ------
    SQLAlchemyError
        The ledger does not answer: the delivery is due again when its lease is lost.
    """
    try:
        try:
            _attempt(node, held, delivery)
        except (OvertakenError, DATABASE_TROUBLE):
            raise
        except OutOfResourcesError as error:
            _end_badly(node, held, delivery, Failure(str(error)))
        except Exception as error:
            log.exception("delivery_failed", reason=type(error).__name__)
            failure = Failure(f"unexpected error: {type(error).__name__}")
            _end_badly(node, held, delivery, failure)
    except OvertakenError:
        log.warning("delivery_overtaken", destination=delivery.destination)


def _attempt(node: Runtime, held: Claim, delivery: Delivery) -> None:
    destination = known_destination(node, delivery.destination)
    if destination is None:
        # Not claimed in the first place, unless the settings were changed in between.
        _end_badly(node, held, delivery, Failure("the destination is not in the settings"))
        return
    try:
        wanted, uncompressed = _wanted(node, delivery)
    except SettingsError as error:  # the profile that its rule named is not there any more
        _end_badly(node, held, delivery, Failure(str(error)))
        return
    with node.database.reading() as session:
        lacking = outcomes.lacking_products(session, delivery, wanted)
        rows = outcomes.undelivered(session, delivery, wanted)
        spool = node.reach.spool(outcomes.results_spool(session, delivery))
        objects = [
            ObjectToSend(
                key=row.id,
                file=_file(spool, row),
                sop_class_uid=row.sop_class_uid,
                sop_instance_uid=row.sop_instance_uid,
                priority=Priority(delivery.priority),
                is_to_be_uncompressed=uncompressed,
            )
            for row in rows
        ]
        notes = {row.id for row in rows if row.kind == ResultKind.REJECTION_NOTE}
    _require_results(node, objects)
    # Today's settings and not those of the analysis: a corrected address or profile holds for
    # results that are still to be sent.
    sender = sender_for(
        destination,
        calling_ae_title=node.settings.receive.ae_title,
        tls=node.settings.tls,
    )
    if destination.dry:
        hold_dry(node, held, delivery, objects, sender=sender, lacking=lacking)
        return
    refused: list[str] = []
    postponed: list[str] = []
    has_taken = False
    try:
        for answer in _answers(sender, objects, notes, lambda: not (refused or postponed)):
            if answer.outcome is Outcome.REFUSED:
                # A file that is not there may be in a spool or on a disk that has just gone away.
                node.require_reached(Delivery, held.id)
                _require_results(node, objects)
            # One transaction for each answer: what the archive has taken is not sent again,
            # wherever this process is killed.
            with node.database.writing() as session:
                outcomes.record_outcome(
                    session,
                    held,
                    answer.key,
                    outcome=answer.outcome.value,
                    status=answer.status,
                    at=database_time(session),
                )
            if answer.outcome is Outcome.REFUSED:
                refused.append(answer.status)
            elif answer.outcome is Outcome.POSTPONED:
                postponed.append(answer.status)
            else:
                has_taken = True
    except DestinationDownError as error:
        cause = "" if has_taken else str(error)
        _end_badly(node, held, delivery, Failure(str(error), cause=cause), has_taken=has_taken)
        return
    failure = _failure_of(refused, postponed, has_taken=has_taken)
    if failure is None and lacking:
        reason = (
            f"the analysis made no {', no '.join(lacking)}, which profile "
            f"{delivery.profile or destination.profile} "
            "contains: retry the study to have it analysed again, or choose another profile first"
        )
        failure = Failure(reason, is_final=True)
    if failure is not None:
        _end_badly(node, held, delivery, failure, has_taken=has_taken)
        return
    with node.database.writing() as session:
        at = database_time(session)
        outcomes.finish_delivery(
            session, held, at=at, is_proof_wanted=destination.confirm != "none"
        )
        was_down = has_taken and circuits.note_success(session, delivery.destination, at=at)
    log.info("results_delivered", destination=delivery.destination, count=len(objects))
    _tell_of_return(delivery, was_down=was_down)


def _failure_of(
    refused: Sequence[str], postponed: Sequence[str], *, has_taken: bool
) -> Failure | None:
    """Return why a delivery is not complete, by the answers for its objects; None if it is."""
    cause = "" if has_taken else _words_for_all([*refused, *postponed])
    # An object that may still be taken keeps the delivery open, refused ones beside it or not.
    if postponed:
        return Failure(f"{counted(len(postponed), 'object')}: {postponed[0]}", cause=cause)
    if refused:
        return Failure(
            f"{counted(len(refused), 'object')}: {refused[0]}", cause=cause, is_final=True
        )
    return None


def _require_results(node: Runtime, objects: Sequence[ObjectToSend]) -> None:
    """Raise OutOfResourcesError if results are away with their disk."""
    if not all(one.file.is_file() for one in objects):
        node.spool.require_readable()


def _file(spool: SpoolFiles, row: ResultObject) -> Path:
    """Return the file of a result; a fetched copy that is damaged is fetched once more.

    Raises
    ------
    OutOfResourcesError
        The store does not answer, or what it gives is not what was made.
    """
    if Stored.ONLY not in {row.stored, spool.results_are}:
        return spool.file(row.place)
    for _ in range(2):
        file = spool.file(row.place)
        if file.is_file() and file_sha256(file) == row.sha256:
            return file
        if not spool.forget(row.place):
            raise UnreachedSpoolError("its results are in the store: this worker needs [store]")
    raise OutOfResourcesError(f"the store holds another file than was made: {row.place}")


def _answers(
    sender: Sender, objects: Sequence[ObjectToSend], notes: Set[int], all_taken: Callable[[], bool]
) -> Iterator[Answer]:
    """Send rejection notes only once everything else is taken: nothing is retracted for nothing."""
    results = [one for one in objects if one.key not in notes]
    # No association for nothing: a former attempt may have been killed after the last answer.
    if results:
        yield from sender.send(results)
    if notes and all_taken():
        yield from sender.send([one for one in objects if one.key in notes])


def _wanted(node: Runtime, delivery: Delivery) -> tuple[set[tuple[str, str]], bool]:
    """Return kind and variant of what the destination is sent, and whether uncompressed alone."""
    # Imported here: it loads the builders' libraries, which the parent process does not need.
    from dicom_node.destination_profiles import is_sent_uncompressed, products_wanted_by

    recipient = Recipient(delivery.destination, delivery.profile)
    return (
        products_wanted_by(delivery.destination, node.settings, delivery.profile),
        is_sent_uncompressed(recipient, node.settings),
    )


def _words_for_all(statuses: Sequence[str]) -> str:
    """Say as one cause why a destination took nothing; empty if nothing was sent."""
    return f"it takes nothing: {'; '.join(dict.fromkeys(statuses))}" if statuses else ""


def _end_badly(
    node: Runtime, held: Claim, delivery: Delivery, failure: Failure, *, has_taken: bool = False
) -> None:
    """Record that an attempt failed, and with it what is known of the destination."""
    circuit, is_news, was_down, due_at = Circuit.CLOSED, True, False, None
    with node.database.writing() as session:
        at = database_time(session)
        outcomes.lock_delivery(session, held)
        if failure.cause:
            circuit, is_news = circuits.note_failure(
                session,
                delivery.destination,
                reason=failure.cause,
                policy=node.settings.retry,
                at=at,
            )
        elif has_taken:
            was_down = circuits.note_success(session, delivery.destination, at=at)
        # Nothing is refused for good by a destination that refuses everything, and nothing expires.
        is_refused = failure.is_final and circuit is Circuit.CLOSED
        if is_refused:
            outcomes.refuse_delivery(session, held, reason=failure.reason, at=at)
        else:
            # A leap of the clock may have moved it since it was taken in hand.
            begun_at = session.get_one(Delivery, held.id, populate_existing=True).created_at
            due_at = next_attempt(
                node.settings.retry,
                attempts=held.attempt,
                since=circuits.tried_since(session, delivery.destination, begun_at),
                at=at,
                generator=node.generator,
            )
            if due_at is None:
                outcomes.expire_delivery(session, held, reason=failure.reason, at=at)
            else:
                outcomes.postpone_delivery(
                    session, held, reason=failure.reason, due_at=due_at, at=at
                )
    _tell_of_return(delivery, was_down=was_down)
    told = {"destination": delivery.destination, "reason": failure.reason}
    if is_refused:
        log.error("delivery_refused", **told)
    elif due_at is None:
        log.warning("delivery_expired", **told)
    # One line for a destination that is down, and none for each delivery that finds it so.
    elif circuit is Circuit.CLOSED and is_news:
        log.warning("delivery_postponed", **told)
    if circuit is not Circuit.CLOSED and is_news:
        log.error("destination_down", destination=delivery.destination, reason=failure.cause)


def _tell_of_return(delivery: Delivery, *, was_down: bool) -> None:
    if was_down:
        log.info("destination_answers", destination=delivery.destination)
