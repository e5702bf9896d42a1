"""What is done in place of sending to a dry destination: every object is read and validated."""

from collections.abc import Iterator, Sequence

import pydicom
import structlog

from dicom_node.send.outcome import ObjectToSend, Sender
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.tables import Delivery
from mammoclip_core.counting import counted
from worker.runtime import Runtime

log = structlog.get_logger("worker.deliver")


def hold_dry(
    node: Runtime,
    held: Claim,
    delivery: Delivery,
    objects: Sequence[ObjectToSend],
    *,
    sender: Sender,
    lacking: Sequence[str],
) -> None:
    """Validate what would be sent, and hold it; what is not valid is refused.

    Parameters
    ----------
    sender : says whether it could send them
    lacking : kinds of objects that should have been made and were not
    """
    complaints = [f"the analysis made no {kind}" for kind in lacking]
    complaints += _complaints(objects, sender)
    with node.database.writing() as session:
        at = database_time(session)
        if complaints:
            reason = f"dry, and not valid: {complaints[0]}"
            outcomes.refuse_delivery(session, held, reason=reason, at=at)
        else:
            reason = (
                f"dry: {counted(len(objects), 'object')} made and valid, nothing sent. To send "
                f"them: dry = false, then mammoclip-node retry --destination {delivery.destination}"
            )
            outcomes.hold_delivery(session, held, reason=reason, at=at)
    if complaints:
        log.error("delivery_refused", destination=delivery.destination, reason=reason)
    else:
        log.info("delivery_held", destination=delivery.destination, count=len(objects))


def _complaints(objects: Sequence[ObjectToSend], sender: Sender) -> Iterator[str]:
    # Imported here: it loads the builders' libraries, which the parent process does not need.
    from dicom_node.objects.content.content_rules import complaints_about

    for one in objects:
        try:
            dataset = pydicom.dcmread(one.file)
            found = complaints_about(dataset)
        except Exception as error:  # noqa: BLE001  damaged files can raise any error
            found = [f"cannot be read: {type(error).__name__}"]
        found = found or list(sender.complaints(one))
        yield from (f"{one.sop_instance_uid}: {complaint}" for complaint in found)
