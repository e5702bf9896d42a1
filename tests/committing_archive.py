"""An archive that is asked for storage commitment, and reports as archives differ in doing so.

By default it does what the standard describes and dcm4che does: it reports over a new association,
to the AE title that has asked, with role selection as the SCP that it is.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from paused_reactor import paused
from proving_archive import ProvingArchive
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
NO_SUCH_OBJECT = 0x0112


@dataclass
class CommittingArchive(ProvingArchive):
    """A storage, query and storage commitment SCP.

    Attributes
    ----------
    way : how it reports: ``new association``, ``same association`` or ``never``
    unanswered : number of requests on which it does not report, the first ones
    offers : whether it accepts the presentation context
    answers : statuses of N-ACTION, the first ones first; then 0x0000
    has_role_selection : whether it proposes its role when it calls
    calling, called : AE titles that it reports with; by default its own and that which has asked
    syntax : transfer syntax that it accepts and reports in
    has_event_type : whether it sends an Event Type ID
    change : changes a report before it is sent
    """

    way: str = "new association"
    unanswered: int = 0
    offers: bool = True
    aborts: bool = False
    answers: list[int] = field(default_factory=list)
    node_port: int = 0
    has_role_selection: bool = True
    calling: str = "ARCHIVE"
    called: str = ""
    syntax: str = EXPLICIT
    has_event_type: bool = True
    change: Callable[[Dataset], None] = lambda _: None
    requests: list[Dataset] = field(default_factory=list)
    replies: list[int | None] = field(default_factory=list)
    reports: list[threading.Timer] = field(default_factory=list)

    def offer(self, entity: AE) -> None:
        if self.offers:
            entity.add_supported_context(STORAGE_COMMITMENT, [self.syntax])

    def handlers(self) -> list[Any]:
        return [*super().handlers(), (evt.EVT_N_ACTION, self._on_action)]

    def stop(self) -> None:
        # As long as the node listens: a connection that is refused is left open by the library.
        for report in self.reports:
            report.join(30)
        super().stop()

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        if self.aborts:
            event.assoc.abort()
            return 0x0110, None
        asked = event.action_information
        self.requests.append(asked)
        status = self.answers.pop(0) if self.answers else 0x0000
        if self.unanswered:
            self.unanswered -= 1
        elif status == 0x0000 and self.way != "never":
            # After the answer to N-ACTION, which this handler's end sends.
            association = event.assoc if self.way == "same association" else None
            called = self.called or event.assoc.requestor.ae_title
            arguments = (self.report_on(asked), called, association)
            self.reports.append(threading.Timer(0.1, self.report, arguments))
            self.reports[-1].start()
        return status, None

    def report_on(self, asked: Dataset) -> Dataset:
        """Return the report on a request: by what the archive holds, then as a test wants it."""
        said = Dataset()
        said.TransactionUID = asked.TransactionUID
        said.ReferencedSOPSequence, said.FailedSOPSequence = [], []
        for one in asked.ReferencedSOPSequence:
            item = Dataset()
            item.ReferencedSOPClassUID = one.ReferencedSOPClassUID
            item.ReferencedSOPInstanceUID = one.ReferencedSOPInstanceUID
            if one.ReferencedSOPInstanceUID in self.held:
                said.ReferencedSOPSequence.append(item)
            else:
                item.FailureReason = NO_SUCH_OBJECT
                said.FailedSOPSequence.append(item)
        self.change(said)
        for keyword in ("ReferencedSOPSequence", "FailedSOPSequence"):
            if not said[keyword].value:
                del said[keyword]
        return said

    def report(self, said: Dataset, called: str, over: Any = None) -> None:
        if over is not None:
            self.replies.append(send_report(over, said, self.has_event_type))
            return
        entity = AE(ae_title=self.calling)
        entity.add_requested_context(STORAGE_COMMITMENT, [self.syntax])
        role = build_role(STORAGE_COMMITMENT, scp_role=True, scu_role=False)
        roles = [role] if self.has_role_selection else []
        address = ("127.0.0.1", self.node_port)
        association = entity.associate(*address, ae_title=called, ext_neg=roles)
        if not association.is_established:
            self.replies.append(None)
            return
        self.replies.append(send_report(association, said, self.has_event_type))
        association.release()


def send_report(association: Any, said: Dataset, has_event_type: bool = True) -> int | None:
    """Send a report, and return the status of its answer; None if none came."""
    context = next(
        one for one in association.accepted_contexts if one.abstract_syntax == STORAGE_COMMITMENT
    )
    syntax = context.transfer_syntax[0]
    content = encode(said, syntax.is_implicit_VR, syntax.is_little_endian)
    message = N_EVENT_REPORT()
    message.MessageID = 7
    message.AffectedSOPClassUID = STORAGE_COMMITMENT
    message.AffectedSOPInstanceUID = INSTANCE
    if has_event_type:
        message.EventTypeID = 2 if "FailedSOPSequence" in said else 1
    message.EventInformation = BytesIO(content or b"")
    with paused(association):
        association.dimse.send_msg(message, context.context_id)
        _, answer = association.dimse.get_msg(block=True)
    return None if answer is None else int(answer.Status)
