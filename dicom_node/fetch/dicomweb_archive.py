"""Searches an archive by QIDO-RS and retrieves from it by WADO-RS (PS3.18 10.4, 10.6)."""

import json
from collections.abc import Iterator, Sequence
from email.message import Message
from typing import Final
from urllib.parse import urlencode

from pydicom.dataset import Dataset

from dicom_node.errors import DestinationDownError, NotOfferedError, UnreadableFileError
from dicom_node.facts.file_meta import read_file_meta
from dicom_node.fetch.asked_for import AskedFor, Retrieved, Taking
from dicom_node.fetch.found_objects import (
    FoundObject,
    FoundStudy,
    OtherStudyError,
    dataset_in,
    objects_among,
    study_in,
    text_in,
)
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.receive.files.multipart import BrokenMessageError, Multipart
from dicom_node.send.dicomweb_exchange import DicomwebExchange, exchange_with
from dicom_node.send.http_outcome import CREDENTIALS
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination

_NO_CONTENT: Final = 204
_OK: Final = frozenset({200, 206})
_FIELDS: Final = ("ModalitiesInStudy", "NumberOfStudyRelatedInstances")
_MOST_ANSWERS: Final = 10_000
_FURTHER_BYTES: Final = 200_000_000
_MARGIN: Final = 4
_ACCEPT: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""As they are stored: an archive that cannot convert an object leaves it out in silence."""


class DicomwebArchive:
    """An archive that is searched and retrieved from over HTTP.

    Parameters
    ----------
    tls : certificates of [tls]
    """

    def __init__(
        self, destination: DicomwebDestination, *, tls: TlsSettings = NO_CERTIFICATES
    ) -> None:
        self._destination = destination
        self._tls = tls

    def studies(self, wanted: WantedStudy) -> list[FoundStudy]:
        """Return the studies that a line of a list means; see `DicomArchive.studies`."""
        dates = f"{wanted.first_date}-{wanted.last_date}"
        asked = {
            "StudyInstanceUID": wanted.study_instance_uid,
            "AccessionNumber": wanted.accession_number,
            "PatientID": wanted.patient_id,
            "StudyDate": "" if dates == "-" else dates,
        }
        filters = {key: value for key, value in asked.items() if value}
        found: dict[str, FoundStudy] = {}
        others: OtherStudyError | None = None
        with exchange_with(self._destination, self._tls) as exchange:
            for answer in self._found(exchange, filters):
                try:
                    study = study_in(answer, wanted)
                except OtherStudyError as error:
                    others = error
                    continue
                modalities = text_in(answer, "ModalitiesInStudy")
                if "MG" in modalities or not modalities:
                    found[study.study_instance_uid] = study
        if others is not None and not found:
            raise others
        return list(found.values())

    def objects(self, study: FoundStudy, classes: frozenset[str]) -> list[FoundObject]:
        """Return the objects of a study's mammography series; see `DicomArchive.objects`."""
        path = f"studies/{study.study_instance_uid}/series"
        with exchange_with(self._destination, self._tls) as exchange:

            def images_of(uid: str) -> Iterator[Dataset]:
                for answer in self._listed(exchange, f"{path}/{uid}/instances"):
                    answer.setdefault("SeriesInstanceUID", uid)
                    yield answer

            return objects_among(study, classes, self._listed(exchange, path), images_of)

    def retrieve(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: Taking,
    ) -> Retrieved:
        """Retrieve objects into the spool one by one; see `DicomArchive.retrieve`."""
        asked = AskedFor(study, objects, classes, intake)
        with exchange_with(self._destination, self._tls) as exchange:
            for one in objects:
                self._retrieve(exchange, study, one, asked)
        return asked.retrieved

    def _retrieve(
        self, exchange: DicomwebExchange, study: FoundStudy, one: FoundObject, asked: AskedFor
    ) -> None:
        path = (
            f"studies/{study.study_instance_uid}/series/{one.series_instance_uid}"
            f"/instances/{one.sop_instance_uid}"
        )
        with exchange.retrieving(
            path,
            _ACCEPT,
            expected_bytes=one.size_bytes,
            longest_bytes=_MARGIN * one.size_bytes + _FURTHER_BYTES,
        ) as (status, content_type, read):
            if status not in _OK:
                raise DestinationDownError(
                    f"{self._destination.name} answers WADO-RS with HTTP {status}"
                )
            header = Message()
            header["content-type"] = content_type
            boundary = header.get_boundary()
            if boundary is None:
                raise DestinationDownError(
                    f"{self._destination.name} answers WADO-RS with {header.get_content_type()}"
                )
            message = Multipart(read, boundary.encode("latin-1"), longest_part_bytes=_FURTHER_BYTES)
            try:
                for part in message.parts():
                    asked.take(read_file_meta(part), part)
            except (BrokenMessageError, UnreadableFileError) as error:
                raise DestinationDownError(
                    f"{self._destination.name} answers WADO-RS with what cannot be read: {error}"
                ) from error

    def _found(self, exchange: DicomwebExchange, filters: dict[str, str]) -> list[Dataset]:
        """Search for studies; for those of some days page by page, for many archives cut answers.

        An archive that knows no pages answers again with the same, which ends it.
        """
        fields = [("includefield", name) for name in _FIELDS]
        if set(filters) != {"StudyDate"}:
            return self._listed(exchange, f"studies?{urlencode([*filters.items(), *fields])}")
        found: dict[str, Dataset] = {}
        while len(found) < _MOST_ANSWERS:
            before = len(found)
            page = [("offset", str(before))] if before else []
            query = urlencode([*filters.items(), *fields, *page])
            for answer in self._listed(exchange, f"studies?{query}"):
                found[text_in(answer, "StudyInstanceUID")] = answer
            if len(found) == before:
                break
        return list(found.values())

    def _listed(self, exchange: DicomwebExchange, path: str) -> list[Dataset]:
        reply = exchange.request("GET", path)
        name = self._destination.name
        if reply.status == _NO_CONTENT:
            return []
        if not reply.is_success:
            hint = " (check the credentials under [[destinations]])"
            raise NotOfferedError(
                f"{name} answers QIDO-RS with HTTP {reply.status}"
                + hint * (reply.status in CREDENTIALS)
            )
        try:
            answers = json.loads(reply.content)
            return [dataset_in(one) for one in answers[:_MOST_ANSWERS]]
        except (ValueError, TypeError, RecursionError) as error:
            raise DestinationDownError(f"{name} answers QIDO-RS with what is no list") from error
