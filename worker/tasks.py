"""The two Celery tasks. Their arguments are ids in the ledger; they return nothing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog
from celery.exceptions import Reject

from dicom_node.errors import LedgerError
from dicom_node.studies.broker import ANALYZE_TASK, DELIVER_TASK
from dicom_node.studies.ledger.database import DATABASE_TROUBLE
from dicom_node.studies.ledger.due.due_work import Work
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.tables import Analysis, Delivery
from worker.analyze.analysis import analyze_study
from worker.analyze.shadow_answers import answer_in_shadow
from worker.app import app
from worker.deliver.delivery import begin_delivery
from worker.runtime import Runtime, runtime
from worker.site_faults import is_short_of_threads, words_of
from worker.stages import Stage

log = structlog.get_logger("worker.tasks")


# Celery acknowledges a message when its task has ended, so the message of a killed worker comes
# back. It may also come twice or much too late: a lease in the ledger decides who works.
@app.task(name=ANALYZE_TASK)
def analyze(analysis_id: int) -> None:
    """Run this analysis or a more urgent one; leave all to wait while the site has a fault."""
    node = runtime()
    with structlog.contextvars.bound_contextvars(analysis=analysis_id), _threads_starting(node):
        if (node.site.is_known or "engine" not in vars(node)) and _site_fault_lasts(
            node, analysis_id
        ):
            raise _put_back()
        with _ledger_answering(node):
            node.go_on()
        with _leased(node, Analysis, analysis_id) as taken:
            if taken is not None:
                structlog.contextvars.bind_contextvars(analysis=taken[0].id)
                analyze_study(node, *taken)
        if taken is None:
            with _ledger_answering(node):
                if not answer_in_shadow(node, analysis_id):
                    _say_if_unknown(node, Analysis, analysis_id)
        if node.site.needs_new_process:
            raise SystemExit(1)


@app.task(name=DELIVER_TASK)
def deliver(delivery_id: int) -> None:
    """Have one delivery attempted if it is still due, beside what this process does next."""
    node = runtime()
    with structlog.contextvars.bound_contextvars(delivery=delivery_id), _ledger_answering(node):
        if not begin_delivery(node, delivery_id):
            _say_if_unknown(node, Delivery, delivery_id)


def _say_if_unknown(node: Runtime, table: type[Work], work_id: int) -> None:
    """Say that a message speaks of nothing in this ledger, instead of only being gone."""
    with node.database.reading() as session:
        if session.get(table, work_id) is None:
            log.warning(
                "work_unknown",
                kind=table.__name__.lower(),
                reason="a message speaks of a row that the ledger of this worker does not have",
            )


def _site_fault_lasts(node: Runtime, analysis_id: int) -> bool:
    """Look whether this process can analyse anything, which loads the model at its first task."""
    # No study has been claimed yet, so none has failed: it waits, and the ledger says why.
    with node.stages.held(lambda why: node.stand_still(analysis_id, why)):
        node.stages.enter(Stage.LOADING, node.settings.work.loading_seconds)
        lasts = node.site.lasts()
    if lasts:
        node.stand_still(analysis_id, node.site.in_words)
    return lasts


@contextmanager
def _leased(node: Runtime, table: type[Work], work_id: int) -> Iterator[tuple[Claim, Work] | None]:
    """Hold a lease; without the ledger the message goes back into its queue."""
    with ExitStack() as stack:
        with _ledger_answering(node):
            taken = stack.enter_context(node.leased(table, work_id))
        node.site.ledger_answers()
        yield taken


@contextmanager
def _ledger_answering(node: Runtime) -> Iterator[None]:
    """Put the message back into its queue if the ledger does not answer."""
    try:
        yield
    except (DATABASE_TROUBLE, LedgerError) as error:
        node.site.note_silent_ledger(error)
        node.site.pause()
        raise _put_back() from None


@contextmanager
def _threads_starting(node: Runtime) -> Iterator[None]:
    """Put the message back into its queue if the system starts no further thread."""
    try:
        yield
    except RuntimeError as error:
        if not is_short_of_threads(error):
            raise
        node.site.note(words_of(error))
        node.site.pause()
        raise _put_back() from None


def _put_back() -> Reject:
    return Reject("the site has a fault", requeue=True)
