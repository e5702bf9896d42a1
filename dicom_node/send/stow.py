"""Results to an archive by STOW-RS, one request an object so that each has its own outcome."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.dataset import Dataset

from dicom_node.errors import DestinationDownError
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.settings import DicomwebDestination

_DUPLICATE: Final = 0x0111
_OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)
_TRY_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses by which a server says that another time may be better."""


class StowSender:
    """A STOW-RS client for one configured archive."""

    def __init__(self, destination: DicomwebDestination) -> None:
        self._destination = destination

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send the objects one by one; see `Sender.send`."""
        with self._session() as session:
            client = DICOMwebClient(url=self._destination.url.rstrip("/"), session=session)
            client.set_http_retry_params(retry=False)
            for item in objects:
                yield self._store(client, item)

    def _session(self) -> requests.Session:
        destination = self._destination
        if destination.username is None or destination.password is None:
            session = requests.Session()
        else:
            session = create_session_from_user_pass(
                destination.username, destination.password.get_secret_value()
            )
        session.mount("http://", _TimedAdapter(destination.timeout_seconds))
        session.mount("https://", _TimedAdapter(destination.timeout_seconds))
        return session

    def _store(self, client: DICOMwebClient, item: ObjectToSend) -> Answer:
        dataset = pydicom.dcmread(item.file)
        try:
            response = client.store_instances([dataset])
        except requests.HTTPError as error:
            return _http_answer(item, error)
        except (requests.RequestException, OSError) as error:
            raise DestinationDownError(
                f"the destination does not answer: {type(error).__name__}"
            ) from error
        return _stow_answer(item, response)


class _TimedAdapter(requests.adapters.HTTPAdapter):
    """Give every request a time limit, which the library itself has none of."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(  # noqa: PLR0917  the library's own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send within the limit."""
        return super().send(request, stream, timeout or self._seconds, verify, cert, proxies)


def _http_answer(item: ObjectToSend, error: requests.HTTPError) -> Answer:
    status = error.response.status_code if error.response is not None else 0
    outcome = Outcome.POSTPONED if status in _TRY_LATER else Outcome.REFUSED
    return Answer(key=item.key, outcome=outcome, status=f"HTTP {status}")


def _stow_answer(item: ObjectToSend, response: Dataset) -> Answer:
    # Orthanc sends the sequence of failures empty when nothing failed.
    for failed in response.get("FailedSOPSequence") or []:
        if failed.get("ReferencedSOPInstanceUID") == item.sop_instance_uid:
            return _failure(item, int(failed.get("FailureReason", 0)))
    taken = [entry.get("ReferencedSOPInstanceUID") for entry in _referenced(response)]
    if item.sop_instance_uid in taken:
        return Answer(key=item.key, outcome=Outcome.DELIVERED, status="HTTP 200")
    return Answer(
        key=item.key, outcome=Outcome.POSTPONED, status="HTTP 200 without the object's UID"
    )


def _referenced(response: Dataset) -> list[Dataset]:
    return list(response.get("ReferencedSOPSequence") or [])


def _failure(item: ObjectToSend, reason: int) -> Answer:
    text = f"0x{reason:04X}"
    if reason == _DUPLICATE:
        return Answer(key=item.key, outcome=Outcome.DELIVERED, status=text)
    outcome = Outcome.POSTPONED if reason in _OUT_OF_RESOURCES else Outcome.REFUSED
    return Answer(key=item.key, outcome=outcome, status=text)
