"""Asks an archive by QIDO-RS which objects it holds, and by their metadata where that is silent."""

from collections.abc import Iterator, Sequence
from typing import Final

from dicom_node.errors import DestinationDownError
from dicom_node.send.asking import Found, ObjectToFind
from dicom_node.send.dicomweb_exchange import DicomwebExchange, Reply, exchange_with
from dicom_node.send.http_outcome import CREDENTIALS
from dicom_node.send.stow_answers import instances_by_study
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination

_NO_CONTENT: Final = 204
"""Nothing matches (PS3.18 8.3.4.4)."""

_PAGE: Final = 100
"""A list so long may be the first page of more, and says nothing of what it lacks."""


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
                yield self._find(exchange, item)

    def _find(self, exchange: DicomwebExchange, item: ObjectToFind) -> Found:
        uid, study = item.sop_instance_uid, f"studies/{item.study_instance_uid}"
        series = f"{study}/series/{item.series_instance_uid}"
        has_listed = is_elsewhere = False
        # Some archives search a series only, and some have put the object into another one.
        for searched in (series, study):
            listed = _listed(exchange.request("GET", f"{searched}/instances?SOPInstanceUID={uid}"))
            if listed is not None and uid in listed:
                if listed[uid] in {"", item.study_instance_uid}:
                    return Found(item.key, is_held=True)
                is_elsewhere = True
            # One that does not heed the question may have listed a page of many.
            has_listed |= listed is not None and len(listed) < _PAGE
        # Some archives list an instance later than they hold it.
        reply = exchange.request("GET", f"{series}/instances/{uid}/metadata")
        shown = _listed(reply) or {}
        if shown.get(uid) in {"", item.study_instance_uid}:
            return Found(item.key, is_held=True)
        # A page for logging in, an error or a wrong address say nothing about the object. Nor does
        # 404, which some answer for a study that they do not hold: then they list no such study.
        if not has_listed and _listed(self._study(exchange, item)) != {}:
            raise DestinationDownError(
                f"{self._destination.name} does not answer QIDO-RS: HTTP {reply.status}"
                + (
                    " (check the credentials under [[destinations]])"
                    * (reply.status in CREDENTIALS)
                )
            )
        return Found(item.key, is_held=False, is_elsewhere=is_elsewhere or uid in shown)

    @staticmethod
    def _study(exchange: DicomwebExchange, item: ObjectToFind) -> Reply:
        return exchange.request("GET", f"studies?StudyInstanceUID={item.study_instance_uid}")


def _listed(reply: Reply) -> dict[str, str] | None:
    if reply.status == _NO_CONTENT:
        return {}
    if not reply.is_success:
        return None
    return instances_by_study(reply.content, reply.media_type)
