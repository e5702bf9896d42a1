"""Lets deliveries to a destination that is down wait, and asks it whether it answers."""

from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from dicom_node.errors import DestinationDownError
from dicom_node.send.probe import longest_probe_seconds, probe
from dicom_node.studies.ledger.destinations import circuits
from dicom_node.studies.ledger.destinations.circuits import Circuit
from dicom_node.studies.ledger.due.due_work import take_back_message
from dicom_node.studies.ledger.locks import database_time, locked
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery
from worker.deliver.known_destination import known_destination
from worker.runtime import Runtime

log = structlog.get_logger("worker.probe")


def is_answered(node: Runtime, delivery_id: int) -> bool:
    """Return whether a delivery may be begun as far as its destination is concerned.

    If the destination is down and it is time to, this asks it. Else the delivery waits, and the
    broker has no message about it any more.
    """
    with node.database.reading() as session:
        row = session.get(Delivery, delivery_id)
        if row is None or not _is_open(node, session, row.destination):
            return True
    destination = known_destination(node, row.destination)
    if destination is None:
        return True  # held when it is claimed
    with node.database.writing() as session:
        at = database_time(session)
        delivery = locked(session, Delivery, delivery_id)
        if delivery is not None and delivery.state is DeliveryState.DUE:
            take_back_message(session, delivery)
        longest = timedelta(seconds=longest_probe_seconds(destination))
        is_ours = circuits.take_probe(
            session, destination.name, holder=node.holder, longest=longest, at=at
        )
    if not is_ours:
        return False
    problem: str | None = None
    try:
        probe(
            destination,
            calling_ae_title=node.settings.receive.ae_title,
            tls=node.settings.tls,
        )
    except DestinationDownError as error:
        problem = str(error)
    except Exception as error:  # whatever it is, the probe ends, and another one follows
        log.exception("probe_broke", reason=type(error).__name__)
        problem = f"unexpected error: {type(error).__name__}"
    with node.database.writing() as session:
        circuits.note_probe(
            session,
            destination.name,
            holder=node.holder,
            problem=problem,
            policy=node.settings.retry,
            at=database_time(session),
        )
    return problem is None


def _is_open(node: Runtime, session: Session, destination: str) -> bool:
    """Return whether the destination is down; what is held is not asked, and cannot be begun."""
    known = circuits.circuit_of(session, destination, at=database_time(session))
    if known is None or known.circuit is not Circuit.OPEN:
        return False
    return not node.holds(session).withheld(destination)
