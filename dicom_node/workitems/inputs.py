"""Fetches the images that a workitem names from the archives that the settings allow."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import structlog

from dicom_node.errors import DeliveryError
from dicom_node.facts.priority import Priority
from dicom_node.fetch.archives import archive_of, classes_analysed
from dicom_node.fetch.found_objects import FoundObject, FoundStudy, OtherStudyError
from dicom_node.fetch.retrospective_run import Archive
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.receive.files.file_intake import FileIntake, file_intake, prepare_spool
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import DicomDestination, DicomwebDestination
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.workitems.workitem import Workitem

log = structlog.get_logger("dicom_node.workitems")

SENDER = "UPS"
"""Calling AE title that fetched inputs count as sent by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came of a study.

    Attributes
    ----------
    inputs : SOP Instance UIDs that are to be analysed: those asked for, or all that were found
    reason : why some did not come, in words; empty if all did
    """

    inputs: tuple[str, ...]
    reason: str = ""


class Inputs:
    """The archives from which images of workitems may be fetched; no others are asked.

    Parameters
    ----------
    stopping : whether the node is stopping
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        database: Database,
        *,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._database = database
        self._stopping = stopping
        self._classes = classes_analysed(settings)
        self._places = [
            one for name in settings.ups.archives if (one := settings.archive(name)) is not None
        ]
        self._is_prepared = False

    @property
    def may_be_fetched(self) -> bool:
        """Whether the settings name an archive to fetch from."""
        return bool(self._places)

    @property
    def classes(self) -> frozenset[str]:
        """The SOP Classes that are analysed."""
        return self._classes

    def fetch(
        self,
        workitem: Workitem,
        wanted: Collection[str],
        *,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> Fetched:
        """Fetch images; what the archives of the settings lack, or do not send, is named.

        Parameters
        ----------
        wanted : SOP Instance UIDs; empty: all of the study that are analysed
        goes_on : asked before each object

        Raises
        ------
        OtherStudyError
            An archive has the study under another patient than the workitem names.
        OutOfResourcesError, NoPlaceError
            Nothing can be kept at present.
        """
        self._prepare()
        left, reasons = set(wanted), []
        found: dict[str, FoundObject] = {}
        for place in self._in_order(workitem):
            archive = archive_of(self._settings, place, spool=self._spool, database=self._database)
            try:
                study = self._study(archive, workitem)
                if study is None:
                    reasons.append(f"{place.name} does not have the study")
                    continue
                objects = archive.objects(study, self._classes)
                asked = [one for one in objects if not wanted or one.sop_instance_uid in left]
                found.update((one.sop_instance_uid, one) for one in asked)
                kept, why = self._retrieve(archive, study, asked, workitem.priority, goes_on)
                left -= kept
                reasons += [f"{place.name}: {one}" for one in why]
            except DeliveryError as error:
                reasons.append(f"{place.name}: {error}")
                continue
            if wanted and not left:
                break
            if not wanted and asked:
                break
        return Fetched(
            inputs=tuple(wanted) or tuple(sorted(found)),
            reason="; ".join(dict.fromkeys(reasons)) if left or not found else "",
        )

    def _retrieve(
        self,
        archive: Archive,
        study: FoundStudy,
        objects: Iterable[FoundObject],
        priority: Priority,
        goes_on: Callable[[], bool],
    ) -> tuple[set[str], list[str]]:
        kept: set[str] = set()
        refused: list[str] = []
        with self._opened(priority) as intake:
            # One by one: one that never comes keeps back no other, and the work can be stopped.
            for one in objects:
                if self._stopping() or not goes_on():
                    break
                try:
                    came = archive.retrieve(study, [one], self._classes, intake)
                except DeliveryError as error:
                    refused.append(str(error))
                    continue
                kept |= came.kept
                refused += came.refused
        return kept, refused

    def _study(self, archive: Archive, workitem: Workitem) -> FoundStudy | None:
        uid = workitem.studies[0]
        studies = archive.studies(WantedStudy(line=0, study_instance_uid=uid))
        if not studies:
            return None
        named = str(workitem.patient.get("PatientID") or "")
        if named and studies[0].patient_id and studies[0].patient_id != named:
            raise OtherStudyError(
                "the archive has this study under another patient than the workitem names"
            )
        # What the workitem says counts where the archive says nothing: each object is compared.
        return replace(studies[0], patient_id=named or studies[0].patient_id)

    def _in_order(self, workitem: Workitem) -> Iterator[DicomDestination | DicomwebDestination]:
        """Yield the archives of the settings, those that the workitem names first."""
        origins = {_origin(url) for url in workitem.retrieve_urls}
        named = [
            one
            for one in self._places
            if (
                one.ae_title in workitem.retrieve_titles
                if isinstance(one, DicomDestination)
                else _origin(one.url) in origins
            )
        ]
        yield from named
        yield from (one for one in self._places if one not in named)

    def _opened(self, priority: Priority) -> AbstractContextManager[FileIntake]:
        self._spool.require_space()
        return file_intake(
            self._settings.receive,
            self._spool,
            origin="ups",
            calling_ae_title=SENDER,
            priority=priority,
        )

    def _prepare(self) -> None:
        if not self._is_prepared:
            prepare_spool(self._spool)
            self._is_prepared = True


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    return parts.scheme, parts.hostname, port
