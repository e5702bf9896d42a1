"""Sends messages made of measurement reports, one for each, whatever their kind."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from dicom_node.errors import ObjectRefusedError
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.send.reporting.report import Report
from dicom_node.send.reporting.report_reading import read_report

M = TypeVar("M")

Reaction = tuple[Outcome, str]
"""What became of a message, and the receiver's answer in words without its own text."""


class MessageKind(Protocol[M]):
    """One kind of message, and how it gets to its receiver."""

    def compose(self, report: Report) -> M:
        """Make the message of a report: equal reports give equal messages.

        Raises
        ------
        ObjectRefusedError
            It cannot be written as the settings would have it.
        """

    def exchange(self) -> AbstractContextManager[Callable[[M], Reaction]]:
        """Open a connection, over which messages are sent.

        Raises
        ------
        DestinationDownError
            The receiver cannot be reached or, from the callable, does not answer.
        """


class MessageSender(Generic[M]):
    """A sender (`dicom_node.send.outcome.Sender`) of messages in place of DICOM objects."""

    def __init__(self, kind: MessageKind[M]) -> None:
        self._kind = kind

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send a message for each report; see `Sender.send`."""
        with ExitStack() as stack:
            deliver: Callable[[M], Reaction] | None = None
            for item in objects:
                try:
                    message = self._kind.compose(_report_of(item))
                except ObjectRefusedError as error:
                    yield Answer(key=item.key, outcome=Outcome.REFUSED, status=str(error))
                    continue
                if deliver is None:
                    deliver = stack.enter_context(self._kind.exchange())
                outcome, status = deliver(message)
                yield Answer(key=item.key, outcome=outcome, status=status)

    def complaints(self, item: ObjectToSend) -> Iterator[str]:
        """Yield why no message can be made of a report."""
        try:
            self._kind.compose(_report_of(item))
        except ObjectRefusedError as error:
            yield str(error)


def _report_of(item: ObjectToSend) -> Report:
    return replace(read_report(item.file), priority=item.priority)
