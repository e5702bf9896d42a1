"""Delivers the result objects of one analysis to one destination, beside the process's tasks."""

from collections.abc import Callable, Iterator, Sequence, Set
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from dicom_node.errors import DestinationDownError, LedgerError, OvertakenError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome, Sender
from dicom_node.send.retry_policy import next_attempt
from dicom_node.studies.ledger import outcomes
from dicom_node.studies.ledger.database import DATABASE_TROUBLE
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery
from dicom_node.studies.ledger.work import Claim
from worker.runtime import Runtime

log = structlog.get_logger("worker.deliver")


_AFTER_AN_END: Final = timedelta(seconds=5)
"""Time in which a process that was told to end is gone, and with it what it was sending."""


def begin_delivery(node: Runtime, delivery_id: int) -> bool:
    """Have a delivery attempted in the lane of its destination; return at once if it was due."""
    with node.database.reading() as session:
        row = session.get(Delivery, delivery_id)
    if row is None or row.state is not DeliveryState.DUE:
        return False
    node.lanes.take(row.destination, delivery_id, partial(attempt_delivery, node))
    return True


def attempt_delivery(node: Runtime, delivery_id: int) -> None:
    """Attempt one delivery if it is still due."""
    with structlog.contextvars.bound_contextvars(delivery=delivery_id):
        try:
            with node.leased(Delivery, delivery_id) as taken:
                node.site.ledger_answers()
                if taken is not None:
                    deliver_results(node, *taken)
        # Nothing is lost: what was claimed loses its lease, what was not is told again.
        except (DATABASE_TROUBLE, LedgerError) as error:
            node.site.note_silent_ledger(error)


def end_deliveries(node: Runtime) -> None:
    """Give deliveries a while to end; those that do not are due again, for another worker."""
    for delivery_id in node.lanes.close(node.settings.work.shutdown_seconds):
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
        except Exception as error:
            log.exception("delivery_failed", reason=type(error).__name__)
            _postpone(node, held, delivery, f"unexpected error: {type(error).__name__}")
    except OvertakenError:
        log.warning("delivery_overtaken", destination=delivery.destination)


def _attempt(node: Runtime, held: Claim, delivery: Delivery) -> None:
    destination = node.settings.destination(delivery.destination)
    if destination is None:
        reason = "the destination is not in the settings any more: add it, or ignore this delivery"
        _refuse(node, held, delivery, reason)
        return
    wanted = _wanted(node, destination.name)
    with node.database.reading() as session:
        lacking = outcomes.lacking_products(session, delivery, wanted)
        rows = outcomes.undelivered(session, delivery, wanted)
        objects = [
            ObjectToSend(
                key=row.id,
                file=node.spool.file(row.place),
                sop_class_uid=row.sop_class_uid,
                sop_instance_uid=row.sop_instance_uid,
            )
            for row in rows
        ]
        notes = {row.id for row in rows if row.kind == ResultKind.REJECTION_NOTE}
    # Today's settings and not those of the analysis: a corrected address or profile holds for
    # results that are still to be sent.
    sender = sender_for(
        destination,
        calling_ae_title=node.settings.receive.ae_title,
        tls=node.settings.tls,
    )
    refused: list[str] = []
    postponed: list[str] = []
    try:
        for answer in _answers(sender, objects, notes, lambda: not (refused or postponed)):
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
    except DestinationDownError as error:
        _postpone(node, held, delivery, str(error))
        return
    # An object that may still be taken keeps the delivery open, refused ones beside it or not.
    if postponed:
        _postpone(node, held, delivery, f"{len(postponed)} objects: {postponed[0]}")
    elif refused:
        _refuse(node, held, delivery, f"{len(refused)} objects: {refused[0]}")
    elif lacking:
        reason = (
            f"the analysis made no {', no '.join(lacking)}, which profile {destination.profile} "
            "contains: retry the study to have it analysed again, or choose another profile first"
        )
        _refuse(node, held, delivery, reason)
    else:
        with node.database.writing() as session:
            outcomes.finish_delivery(
                session,
                held,
                at=database_time(session),
                is_proof_wanted=destination.confirm != "none",
            )
        log.info("results_delivered", destination=delivery.destination, count=len(objects))


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


def _wanted(node: Runtime, destination: str) -> set[tuple[str, str]]:
    """Return kind and variant of the objects that the destination is sent."""
    # Imported here: it loads the builders' libraries, which the parent process does not need.
    from dicom_node.destination_profiles import products_wanted_by

    return products_wanted_by(destination, node.settings)


def _refuse(node: Runtime, held: Claim, delivery: Delivery, reason: str) -> None:
    with node.database.writing() as session:
        outcomes.refuse_delivery(session, held, reason=reason, at=database_time(session))
    log.error("delivery_refused", destination=delivery.destination, reason=reason)


def _postpone(node: Runtime, held: Claim, delivery: Delivery, reason: str) -> None:
    with node.database.writing() as session:
        at = database_time(session)
        due_at = next_attempt(
            node.settings.retry,
            attempts=held.attempt,
            created_at=delivery.created_at,
            at=at,
            generator=node.generator,
        )
        if due_at is None:
            outcomes.expire_delivery(session, held, reason=reason, at=at)
        else:
            outcomes.postpone_delivery(session, held, reason=reason, due_at=due_at, at=at)
    event = "delivery_expired" if due_at is None else "delivery_postponed"
    log.warning(event, destination=delivery.destination, reason=reason)
