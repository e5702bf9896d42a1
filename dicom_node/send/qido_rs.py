"""Asks an archive by QIDO-RS which objects it holds, and by their metadata where that is silent."""

from collections.abc import Iterator, Sequence
from typing import Final

from dicom_node.errors import DestinationDownError
from dicom_node.send.asking import Found, ObjectToFind
from dicom_node.send.dicomweb_exchange import CREDENTIALS, DicomwebExchange, Reply, exchange_with
from dicom_node.send.stow_answers import listed_instances
from dicom_node.settings.destinations import DicomwebDestination
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings

_NO_CONTENT: Final = 204
"""Nothing matches (PS3.18 8.3.4.4)."""


class QidoAsker:
    """A QIDO-RS client for one configured archive.

    Parameters
    ----------
    tls : certificates of [tls]
    """

    name = "QIDO-RS"

    def __init__(
        self, destination: DicomwebDestination, *, tls: TlsSettings = NO_CERTIFICATES
    ) -> None:
        self._destination = destination
        self._tls = tls

    def ask(self, objects: Sequence[ObjectToFind]) -> Iterator[Found]:
        """Ask for the objects one by one; see `Asker.ask`."""
        with exchange_with(self._destination, self._tls) as exchange:
            for item in objects:
                yield Found(item.key, self._find(exchange, item))

    def _find(self, exchange: DicomwebExchange, item: ObjectToFind) -> bool:
        uid, study = item.sop_instance_uid, f"studies/{item.study_instance_uid}"
        listed = _listed(exchange.request("GET", f"{study}/instances?SOPInstanceUID={uid}"))
        if listed is not None and uid in listed:
            return True
        # Some archives list an instance later than they hold it.
        path = f"{study}/series/{item.series_instance_uid}/instances/{uid}/metadata"
        reply = exchange.request("GET", path)
        if uid in (_listed(reply) or ()):
            return True
        # A page for logging in, an error or a wrong address say nothing about the object.
        if listed is None:
            raise DestinationDownError(
                f"{self._destination.name} does not answer QIDO-RS: HTTP {reply.status}"
                + (
                    " (check the credentials under [[destinations]])"
                    * (reply.status in CREDENTIALS)
                )
            )
        return False


def _listed(reply: Reply) -> frozenset[str] | None:
    if reply.status == _NO_CONTENT:
        return frozenset()
    if not reply.is_success:
        return None
    return listed_instances(reply.content, reply.media_type)
