"""Sends results to an archive by STOW-RS, one request for each object and its outcome."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import DestinationDownError
from dicom_node.send.dicomweb_session import dicomweb_session, words_for_failure
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome, outcome_of_failure
from dicom_node.settings.destinations import DicomwebDestination
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings

_TRY_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses of errors that may pass."""

_CONFLICT: Final = 409
"""Nothing was stored; the answer gives the reason for each object (PS3.18 10.5.3.2)."""

_NO_DOCUMENT: Final = (AttributeError, KeyError, SyntaxError, TypeError, ValueError)
"""Errors of the libraries for an answer that is not valid DICOM JSON or XML."""


class StowSender:
    """A STOW-RS client for one configured archive.

    Parameters
    ----------
    tls : certificates of [tls]
    """

    def __init__(
        self, destination: DicomwebDestination, *, tls: TlsSettings = NO_CERTIFICATES
    ) -> None:
        self._destination = destination
        self._tls = tls

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send the objects one by one; see `Sender.send`."""
        with dicomweb_session(self._destination, self._tls) as session:
            client = DICOMwebClient(url=self._destination.url.rstrip("/"), session=session)
            client.set_http_retry_params(retry=False)
            for item in objects:
                yield self._store(client, item)

    def _store(self, client: DICOMwebClient, item: ObjectToSend) -> Answer:
        try:
            dataset = pydicom.dcmread(item.file)
        except (OSError, InvalidDicomError) as error:
            status = f"the result file cannot be read: {type(error).__name__}"
            return Answer(key=item.key, outcome=Outcome.REFUSED, status=status)
        try:
            response = client.store_instances([dataset])
        except requests.HTTPError as error:
            return _http_answer(item, error)
        except _NO_DOCUMENT:
            return _postponed(item, "HTTP 200 without a DICOM answer")
        except (requests.RequestException, OSError) as error:
            raise DestinationDownError(
                f"{self._destination.name} does not answer: {words_for_failure(error)}"
            ) from error
        return _stow_answer(item, response)


def _http_answer(item: ObjectToSend, error: requests.HTTPError) -> Answer:
    status = error.response.status_code
    if status == _CONFLICT:
        # If the document is not the one of the standard, only the status is known.
        with suppress(*_NO_DOCUMENT):
            answer: Any = error.response.json()
            failure = _failure_of(item, Dataset.from_json(answer))
            if failure is not None:
                return failure
    outcome = Outcome.POSTPONED if status in _TRY_LATER else Outcome.REFUSED
    return Answer(key=item.key, outcome=outcome, status=f"HTTP {status}")


def _stow_answer(item: ObjectToSend, response: Dataset) -> Answer:
    failure = _failure_of(item, response)
    if failure is not None:
        return failure
    taken = [entry.get("ReferencedSOPInstanceUID") for entry in _referenced(response)]
    if item.sop_instance_uid in taken:
        return Answer(key=item.key, outcome=Outcome.DELIVERED, status="HTTP 200")
    return _postponed(item, "HTTP 200 without the object's UID")


def _failure_of(item: ObjectToSend, response: Dataset) -> Answer | None:
    # Orthanc sends the sequence of failures empty when nothing failed.
    for failed in response.get("FailedSOPSequence") or []:
        if failed.get("ReferencedSOPInstanceUID") == item.sop_instance_uid:
            reason = int(failed.get("FailureReason", 0))
            outcome = outcome_of_failure(reason)
            return Answer(key=item.key, outcome=outcome, status=f"0x{reason:04X}")
    return None


def _referenced(response: Dataset) -> list[Dataset]:
    return list(response.get("ReferencedSOPSequence") or [])


def _postponed(item: ObjectToSend, status: str) -> Answer:
    return Answer(key=item.key, outcome=Outcome.POSTPONED, status=status)
