"""When the next canary study is due, as the settings say."""

import threading
from contextlib import suppress
from datetime import timedelta

import structlog

from dicom_node.canary.run import CanaryStoppedError, run_canary
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.canary_runs import last_run
from dicom_node.studies.ledger.database import Database

log = structlog.get_logger("dicom_node.canary")


def run_if_due(settings: Settings, database: Database, *, stopping: threading.Event) -> None:
    """Send a canary study if the last one was sent long enough ago, and log how it went."""
    with database.reading() as session:
        last = last_run(session)
    every = timedelta(minutes=settings.canary.minutes)
    if last is not None and database.now() < last.began_at + every:
        return
    with suppress(CanaryStoppedError):
        run = run_canary(settings, database, stopping=stopping)
        if run.broken:
            log.error("canary_broken", state=run.broken, reason=run.reason)
        elif run.is_held:
            log.info("canary_held", reason=run.reason)
        else:
            log.info("canary_arrived", seconds=round(sum(run.seconds.values()), 1))
