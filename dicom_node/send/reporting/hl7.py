"""Sends results to reporting systems as HL7 messages ORU^R01."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dicom_node.send.outcome import Outcome
from dicom_node.send.reporting.message_sender import Reaction
from dicom_node.send.reporting.mllp import connected
from dicom_node.send.reporting.oru_message import OruMessage, oru_message
from dicom_node.send.reporting.report import Report
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.reporting import Hl7Destination


class Hl7:
    """Messages to one receiver.

    Parameters
    ----------
    tls : certificates of [tls]
    """

    def __init__(self, destination: Hl7Destination, *, tls: TlsSettings = NO_CERTIFICATES) -> None:
        self._destination = destination
        self._tls = tls

    def compose(self, report: Report) -> OruMessage:
        """Make the message of a report; see `oru_message`."""
        return oru_message(report, self._destination)

    @contextmanager
    def exchange(self) -> Iterator[Callable[[OruMessage], Reaction]]:
        """Open a connection, over which messages are sent."""
        with connected(self._destination, self._tls) as connection:

            def deliver(message: OruMessage) -> Reaction:
                answer = connection.exchange(message.content, message.control_id)
                if answer.outcome is None:
                    return Outcome.POSTPONED, "acknowledged with a code that HL7 does not have"
                return answer.outcome, answer.in_words()

            yield deliver
