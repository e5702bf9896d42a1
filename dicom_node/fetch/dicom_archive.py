"""Searches an archive by C-FIND and retrieves from it by C-GET (PS3.4 C)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.status import code_to_category

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError, NotOfferedError
from dicom_node.facts.file_meta import FileMeta
from dicom_node.fetch.asked_for import AskedFor, Retrieved, Taking
from dicom_node.fetch.found_objects import (
    FoundObject,
    FoundStudy,
    OtherStudyError,
    objects_among,
    study_in,
    text_in,
)
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomDestination

_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
_MOST_ANSWERS: Final = 10_000
_MARGIN: Final = 4
_FURTHER_BYTES: Final = 200_000_000
"""How much more than the estimated size of the objects an archive may send."""

SYNTAXES: Final = (
    *UNCOMPRESSED,
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    *(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)),
    "1.2.840.10008.1.2.5",
)
"""In which mammograms are stored; of each class one presentation context, 128 at most."""


class FailureStatusError(DestinationDownError):
    """The archive ends an answer with a failure, on an association that goes on."""


class DicomArchive:
    """An archive that is searched and retrieved from, over an association for each question.

    Parameters
    ----------
    calling_ae_title : the node's own, used unless the destination sets one
    tls : certificates of [tls]
    """

    def __init__(
        self,
        destination: DicomDestination,
        *,
        calling_ae_title: str,
        tls: TlsSettings = NO_CERTIFICATES,
    ) -> None:
        self._destination = destination
        self._calling_ae_title = destination.calling_ae_title or calling_ae_title
        self._tls = tls

    def studies(self, wanted: WantedStudy) -> list[FoundStudy]:
        """Return the studies that a line of a list means.

        Raises
        ------
        DestinationDownError, NotOfferedError
        OtherStudyError
            It answers with others only.
        """
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        asked.StudyInstanceUID = wanted.study_instance_uid
        asked.AccessionNumber = wanted.accession_number
        asked.PatientID = wanted.patient_id
        asked.StudyDate = f"{wanted.first_date}-{wanted.last_date}".strip("-") and (
            f"{wanted.first_date}-{wanted.last_date}"
        )
        asked.ModalitiesInStudy = ""
        asked.NumberOfStudyRelatedInstances = None
        found: dict[str, FoundStudy] = {}
        others: OtherStudyError | None = None
        for answer in self._find(asked):
            try:
                study = study_in(answer, wanted)
            except OtherStudyError as error:
                others = error
                continue
            if "MG" in text_in(answer, "ModalitiesInStudy") or not text_in(
                answer, "ModalitiesInStudy"
            ):
                found[study.study_instance_uid] = study
        if others is not None and not found:
            raise others
        return list(found.values())

    def objects(self, study: FoundStudy, classes: frozenset[str]) -> list[FoundObject]:
        """Return the objects of a study's mammography series that are of some SOP Classes.

        Those of which the archive does not say the class are among them.

        Raises
        ------
        DestinationDownError, NotOfferedError, OtherStudyError
        """
        asked = Dataset()
        asked.QueryRetrieveLevel = "SERIES"
        asked.StudyInstanceUID = study.study_instance_uid
        asked.SeriesInstanceUID = asked.Modality = ""
        return objects_among(
            study,
            classes,
            self._find(asked),
            lambda uid: self._find(_question_for_images(study, uid)),
        )

    def retrieve(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: Taking,
    ) -> Retrieved:
        """Retrieve objects into the spool, one request for each; what was not asked for is refused.

        Raises
        ------
        DestinationDownError, NotOfferedError
            What has come before is kept.
        """
        asked = AskedFor(study, objects, classes, intake)
        expected = sum(min(one.size_bytes, intake.maximum_bytes) for one in objects)
        contexts = {(_GET, syntax) for syntax in UNCOMPRESSED} | {
            (uid, syntax) for uid in classes for syntax in SYNTAXES
        }
        with self._association(
            contexts,
            handlers=[(evt.EVT_C_STORE, _Coming(asked).take)],
            served=sorted(classes),
            longest_bytes=_MARGIN * expected + _FURTHER_BYTES,
        ) as (association, deadline):
            for one in objects:
                seconds = self._destination.longest_seconds(one.size_bytes)
                with deadline.within(seconds):
                    self._get(association, study, one, asked)
                self._require_in_time(deadline)
        return asked.retrieved

    def _get(
        self, association: Any, study: FoundStudy, one: FoundObject, asked_for: AskedFor
    ) -> None:
        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        asked.StudyInstanceUID = study.study_instance_uid
        asked.SeriesInstanceUID = one.series_instance_uid
        asked.SOPInstanceUID = one.sop_instance_uid
        refusals = asked_for.refusals
        try:
            for _ in self._answers(association.send_c_get(asked, _GET), "C-GET"):
                pass
        except FailureStatusError:
            # What this side refused is a failure to the archive too (PS3.4 C.4.3.1.4): it is
            # well, and why nothing came is known.
            if asked_for.refusals == refusals:
                raise

    def _find(self, asked: Dataset) -> list[Dataset]:
        contexts = {(_FIND, syntax) for syntax in UNCOMPRESSED}
        with self._association(contexts) as (association, deadline):
            with deadline.within(self._destination.longest_seconds()):
                found = list(self._answers(association.send_c_find(asked, _FIND), "C-FIND"))
            self._require_in_time(deadline)
            return found

    def _answers(self, answers: Any, service: str) -> Iterator[Dataset]:
        name, count = self._destination.name, 0
        try:
            for status, answer in answers:
                if "Status" not in status:
                    break
                category = code_to_category(int(status.Status))
                if category == "Success" or (category == "Warning" and service != "C-FIND"):
                    return
                if category != "Pending":
                    code = f"0x{status.Status:04X}"
                    raise FailureStatusError(f"{name} answers {service} with {code}")
                count += 1
                if count > _MOST_ANSWERS:
                    raise DestinationDownError(f"{name} answers {service} without end")
                if answer is not None:
                    yield answer
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            raise DestinationDownError(f"{name}: the association ended during {service}") from error
        raise DestinationDownError(f"{name}: the association ended during {service}")

    def _require_in_time(self, deadline: Deadline) -> None:
        if deadline.passed:
            late = self._destination.words_for_lateness
            raise DestinationDownError(f"{self._destination.name}: {late}")

    @contextmanager
    def _association(
        self, contexts: set[tuple[str, str]], **options: Any
    ) -> Iterator[tuple[Any, Deadline]]:
        with Deadline() as deadline:
            association = associate(
                self._destination,
                self._calling_ae_title,
                contexts,
                deadline=deadline,
                tls=self._tls,
                **options,
            )
            if not association.is_established:
                raise NotOfferedError(f"{self._destination.name} offers neither C-FIND nor C-GET")
            try:
                yield association, deadline
            except BaseException:
                association.abort()
                raise
            finally:
                with deadline.within(self._destination.timeout_seconds):
                    if association.is_established:
                        association.release()


def _question_for_images(study: FoundStudy, series_instance_uid: str) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = "IMAGE"
    asked.StudyInstanceUID = study.study_instance_uid
    asked.SeriesInstanceUID = series_instance_uid
    asked.SOPInstanceUID = asked.SOPClassUID = ""
    for keyword in ("Rows", "Columns", "BitsAllocated", "NumberOfFrames"):
        setattr(asked, keyword, None)
    return asked


class _Coming:
    """Answers each C-STORE of an archive; only what was asked for is kept."""

    def __init__(self, asked: AskedFor) -> None:
        self._asked = asked

    def take(self, event: evt.Event) -> int:
        """Answer one C-STORE."""
        request: Any = event.request
        meta = FileMeta(
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            beginning=b"",
        )
        request.DataSet.seek(0)
        return self._asked.take(meta, request.DataSet)
