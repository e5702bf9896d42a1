"""The optional ways by which studies, and what is said of them, come into the node."""

import threading
from collections.abc import Callable, Iterator

from dicom_node.assessments.taking import AssessmentTaking
from dicom_node.fetch.polling import Polling
from dicom_node.receive.announcing.announcements import Announcements
from dicom_node.receive.registration.indexing import Indexing
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.workitems.performer import Performer


def ways_in(
    settings: Settings,
    spool: Spool,
    database: Database,
    *,
    is_ready: Callable[[], bool],
    stopping: threading.Event,
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name and the step of each way that the settings have switched on.

    Parameters
    ----------
    is_ready : whether the ledger can be asked
    stopping : set when the node stops
    """
    indexing = Indexing(settings, spool, database, is_ready=is_ready)
    yield "identifiers", indexing.step
    if settings.poll:
        polling = Polling(settings, spool, database, is_ready=is_ready, stopping=stopping)
        yield "poll", polling.step
    if settings.ups.url is not None:
        performer = Performer(settings, spool, database, is_ready=is_ready, stopping=stopping)
        yield "worklist", performer.step
    if settings.receive.announcers:
        announcements = Announcements(spool, database, is_ready=is_ready)
        yield "announcements", announcements.step
    if settings.receive.assessment_senders:
        taking = AssessmentTaking(settings, spool, database, is_ready)
        yield "assessments", taking.step
