"""The two Celery tasks. Their arguments are ids in the ledger; they return nothing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog
from celery.exceptions import Reject

from dicom_node.errors import LedgerError
from dicom_node.studies.broker import ANALYZE_TASK, DELIVER_TASK
from dicom_node.studies.ledger.database import DATABASE_TROUBLE
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.ledger.work import Claim, Work
from worker.analysis import analyze_study
from worker.app import app
from worker.delivery import deliver_results
from worker.runtime import Runtime, runtime
from worker.site_faults import words_of
from worker.stages import Stage


# Celery acknowledges a message when its task has ended, so the message of a killed worker comes
# back. It may also come twice or much too late: a lease in the ledger decides who works.
@app.task(name=ANALYZE_TASK)
def analyze(analysis_id: int) -> None:
    """Run one analysis if it is still due; leave it to wait while the site has a fault."""
    node = runtime()
    with structlog.contextvars.bound_contextvars(analysis=analysis_id):
        if (node.site.is_known or "engine" not in vars(node)) and _site_fault_lasts(node):
            raise _put_back()
        with _leased(node, Analysis, analysis_id) as taken:
            if taken is not None:
                analyze_study(node, *taken)
        if node.site.needs_new_process:
            raise SystemExit(1)


@app.task(name=DELIVER_TASK)
def deliver(delivery_id: int) -> None:
    """Attempt one delivery if it is still due."""
    node = runtime()
    with (
        structlog.contextvars.bound_contextvars(delivery=delivery_id),
        _leased(node, Delivery, delivery_id) as taken,
    ):
        if taken is not None:
            deliver_results(node, *taken)


def _site_fault_lasts(node: Runtime) -> bool:
    """Look whether this process can analyse anything, which loads the model at its first task."""
    # No study has been claimed yet, so there is nothing to record but the line in the log.
    with node.stages.held(str):
        node.stages.enter(Stage.LOADING, node.settings.work.loading_seconds)
        return node.site.lasts()


@contextmanager
def _leased(node: Runtime, table: type[Work], work_id: int) -> Iterator[tuple[Claim, Work] | None]:
    """Hold a lease; without the ledger the message goes back into its queue."""
    with ExitStack() as stack:
        try:
            taken = stack.enter_context(node.leased(table, work_id))
        except (DATABASE_TROUBLE, LedgerError) as error:
            node.site.note(words_of(error))
            node.site.pause()
            raise _put_back() from None
        yield taken


def _put_back() -> Reject:
    return Reject("the site has a fault", requeue=True)
