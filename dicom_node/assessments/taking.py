"""Takes readers' reports out of what the node has received, and keeps what they say."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from dicom_node.assessments.reading import UnreadableAssessmentError, assessments_in
from dicom_node.facts.assessed_results import AssessmentReport, Decision
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.assessments import (
    WaitingReport,
    keep_report,
    note_report,
    waiting_reports,
)
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.own_spool import own_spool

log = structlog.get_logger("dicom_node.assessments")

_PORTION: Final = 20
_MOST_LOOKS: Final = 30
"""Steps in which a report whose file is not there is looked for."""

_LARGEST_BYTES: Final = 16_000_000
"""Of a report; one of a page has some kilobytes."""


Read = Callable[[Path, Mapping[str, Decision]], AssessmentReport]


class AssessmentTaking:
    """Looks at each report of the senders in the settings once, killed or not.

    What was looked at is in the ledger. A report that was not is looked at again by the next
    process; what it says is kept once.

    Parameters
    ----------
    is_ready : whether the ledger has its tables
    read : reads a report, in a process of its own
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        database: Database,
        is_ready: Callable[[], bool] = lambda: True,
        read: Read = assessments_in,
    ) -> None:
        self._receive = settings.receive
        self._spool = spool
        self._database = database
        self._is_ready = is_ready
        self._read = read
        self._after = 0
        self._missed: Counter[int] = Counter()

    def step(self) -> None:
        """Look at the reports that have come since the last step."""
        if not self._is_ready():
            return
        spool_id = own_spool(self._spool, self._database)
        while True:
            with self._database.reading() as session:
                waiting = waiting_reports(
                    session,
                    spool_id,
                    self._receive.assessment_senders,
                    after=self._after,
                    limit=_PORTION,
                )
            for one in waiting:
                if not self._take(one):
                    return  # its file is still being moved, or its disk is away
                self._after = one.instance_id
            if len(waiting) < _PORTION:
                return

    def _take(self, one: WaitingReport) -> bool:
        """Look at a report; return whether it could be looked at."""
        file = self._spool.file(one.place)
        decisions = {
            code: Decision(word) for code, word in self._receive.assessment_decisions.items()
        }
        try:
            if file.stat().st_size > _LARGEST_BYTES:
                raise UnreadableAssessmentError(f"it has more than {_LARGEST_BYTES} bytes")  # noqa: TRY301
            report = self._read(file, decisions)
        except UnreadableAssessmentError as error:
            problem, count = str(error), 0
            with self._database.writing() as session:
                note_report(session, one, problem, at=database_time(session))
        except FileNotFoundError:
            self._missed[one.instance_id] += 1
            if self._missed[one.instance_id] < _MOST_LOOKS:
                return False
            problem, count = "its file is not there", 0
            with self._database.writing() as session:
                note_report(session, one, problem, at=database_time(session))
        else:
            count = len(report.assessed)
            with self._database.writing() as session:
                problem = keep_report(session, one, report, at=database_time(session))
        if problem:
            log.warning("assessment_not_kept", receipt=one.receipt, reason=problem)
        else:
            log.info("assessment_kept", receipt=one.receipt, count=count)
        return True
