"""Which studies of an archive may have something new: by study date, or by Orthanc's changes."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import quote

from dicom_node.errors import DestinationDownError, NotOfferedError
from dicom_node.fetch.found_objects import FoundStudy, OtherStudyError, is_uid
from dicom_node.fetch.retrospective_run import Archive
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.send.dicomweb_exchange import exchange_with
from dicom_node.send.http_outcome import CREDENTIALS
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination

_MOST_QUESTIONS: Final = 62
"""In one search: after a longer outage each is about several days."""

_PORTION: Final = 100
_GONE: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Studies that may have something new.

    Attributes
    ----------
    cursor : where to go on once all of them are fetched, or noted as failed
    refused : why answers were set aside
    """

    studies: Sequence[FoundStudy]
    cursor: str
    refused: Sequence[str] = ()


class NewStudies(Protocol):
    """Says which studies may have something new."""

    def since(self, cursor: str, at: datetime) -> Iterator[Batch]:
        """Yield the studies since a cursor, which is empty at first.

        Raises
        ------
        DestinationDownError, NotOfferedError
        """


class StudiesByDate:
    """Searches a window of study dates, for no archive need tell when it received something.

    The window ends a day after today, for clocks and time zones that are ahead, and begins
    ``overlap_days`` before the last complete search, for images that come late.
    """

    def __init__(self, archive: Archive, *, overlap_days: int) -> None:
        self._archive = archive
        self._overlap = timedelta(days=overlap_days)

    def since(self, cursor: str, at: datetime) -> Iterator[Batch]:
        """Yield all studies of the window at once; the cursor is the date of the search."""
        today = at.date()
        last_search = today
        with suppress(ValueError):
            last_search = min(date.fromisoformat(cursor), today)
        found: dict[str, FoundStudy] = {}
        refused: list[str] = []
        for first, last in _spans(last_search - self._overlap, today + timedelta(days=1)):
            wanted = WantedStudy(line=0, first_date=f"{first:%Y%m%d}", last_date=f"{last:%Y%m%d}")
            try:
                studies = self._archive.studies(wanted)
            except OtherStudyError as error:
                refused.append(str(error))
                continue
            found.update((one.study_instance_uid, one) for one in studies)
        yield Batch(studies=list(found.values()), cursor=today.isoformat(), refused=refused)


class OrthancChanges:
    """Reads Orthanc's list of changes: every object that came, in the order in which it came.

    The first search only notes where the list ends.

    Parameters
    ----------
    url : root of the REST service
    tls : certificates of [tls]
    """

    def __init__(
        self, destination: DicomwebDestination, url: str, *, tls: TlsSettings = NO_CERTIFICATES
    ) -> None:
        self._rest = destination.model_copy(update={"url": url})
        self._tls = tls

    def since(self, cursor: str, at: datetime) -> Iterator[Batch]:
        """Yield the studies of each portion of changes; the cursor is a number of that list."""
        del at
        end = self._number(self._answer("changes?last"))
        if not cursor.isdecimal():
            yield Batch(studies=(), cursor=str(end))
            return
        since = int(cursor)
        if since > end:  # an archive that was emptied, or restored from a copy, counts anew
            since = 0
        while since < end:
            page = self._answer(f"changes?since={since}&limit={_PORTION}")
            reached = self._number(page)
            if reached <= since:
                raise DestinationDownError(f"{self._rest.name} lists its changes without end")
            yield Batch(studies=self._studies_of(page), cursor=str(reached))
            since = reached

    def _studies_of(self, page: dict[str, Any]) -> list[FoundStudy]:
        found: dict[str, FoundStudy] = {}
        for change in page.get("Changes", []):
            if change.get("ChangeType") != "NewInstance":
                continue
            study = self._answer(f"instances/{quote(str(change.get('ID')), safe='')}/study")
            tags = study.get("MainDicomTags")
            uid = tags.get("StudyInstanceUID") if isinstance(tags, dict) else None
            if isinstance(uid, str) and is_uid(uid):  # else it was deleted meanwhile
                found[uid] = FoundStudy(uid, "")
        return list(found.values())

    def _answer(self, path: str) -> dict[str, Any]:
        name = self._rest.name
        with exchange_with(self._rest, self._tls) as exchange:
            reply = exchange.request("GET", path)
        if reply.status == _GONE and path.startswith("instances/"):
            return {}
        if not reply.is_success:
            hint = " (check the credentials under [[destinations]])"
            raise NotOfferedError(
                f"{name} answers a question for its changes with HTTP {reply.status}"
                + hint * (reply.status in CREDENTIALS)
            )
        try:
            answer = json.loads(reply.content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or not _is_list_of_tables(answer.get("Changes", [])):
            raise DestinationDownError(f"{name} answers with what is no list of changes")
        return answer

    def _number(self, page: dict[str, Any]) -> int:
        last = page.get("Last")
        if not isinstance(last, int) or isinstance(last, bool) or last < 0:
            raise DestinationDownError(f"{self._rest.name} does not say where its changes end")
        return last


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _spans(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Divide days into spans, of one day each unless there are very many."""
    days = (last - first).days + 1
    step = math.ceil(days / _MOST_QUESTIONS)
    for offset in range(0, days, step):
        begin = first + timedelta(days=offset)
        yield begin, min(begin + timedelta(days=step - 1), last)
