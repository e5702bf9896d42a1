"""Posts results to a FHIR server, and reads whether it has created everything."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dicom_node.send.dicomweb_exchange import exchange_with
from dicom_node.send.http_outcome import outcome_of_status
from dicom_node.send.outcome import Outcome
from dicom_node.send.reporting.fhir_bundle import Transaction, fhir_transaction
from dicom_node.send.reporting.message_sender import Reaction
from dicom_node.send.reporting.report import Report
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.reporting import FhirDestination

_HEADERS: Final = {
    "Content-Type": "application/fhir+json; fhirVersion=5.0",
    "Accept": "application/fhir+json",
    "Prefer": "return=minimal",
}


class Fhir:
    """Transactions to one server.

    Parameters
    ----------
    tls : certificates of [tls]
    """

    def __init__(self, destination: FhirDestination, *, tls: TlsSettings = NO_CERTIFICATES) -> None:
        self._destination = destination
        self._tls = tls

    def compose(self, report: Report) -> Transaction:
        """Make the transaction of a report; see `fhir_transaction`."""
        return fhir_transaction(report, self._destination)

    @contextmanager
    def exchange(self) -> Iterator[Callable[[Transaction], Reaction]]:
        """Open a connection, over which transactions are sent."""
        with exchange_with(self._destination, self._tls) as exchange:

            def deliver(transaction: Transaction) -> Reaction:
                reply = exchange.post(transaction.content, _HEADERS)
                outcome, status = outcome_of_status(reply.status)
                if outcome is Outcome.ACCEPTED:
                    return _created(reply.content, transaction.count, status)
                return outcome, status

            yield deliver


def _created(content: bytes, count: int, status: str) -> Reaction:
    """Return whether each entry was created or was there: a server may answer 200 for less."""
    try:
        bundle = json.loads(content)
        statuses = [str(entry["response"]["status"])[:1] for entry in bundle["entry"]]
        is_response = bundle["type"] == "transaction-response"
    except (ValueError, KeyError, TypeError, RecursionError):
        return Outcome.POSTPONED, f"{status} without a transaction-response"
    done = statuses.count("2")
    if is_response and done == count == len(statuses):
        return Outcome.ACCEPTED, status
    return Outcome.POSTPONED, f"{status}, and {done} of {count} resources created or found"
