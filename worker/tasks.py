"""The two Celery tasks. Their arguments are ids in the ledger; they return nothing."""

import structlog

from dicom_node.studies.broker import ANALYZE_TASK, DELIVER_TASK
from dicom_node.studies.ledger.tables import Analysis, Delivery
from worker.analysis import analyze_study
from worker.app import app
from worker.delivery import deliver_results
from worker.runtime import runtime


# Celery acknowledges a message when its task has ended, so the message of a killed worker comes
# back. It may also come twice or much too late: a lease in the ledger decides who works.
@app.task(name=ANALYZE_TASK)
def analyze(analysis_id: int) -> None:
    """Run one analysis if it is still due."""
    with (
        structlog.contextvars.bound_contextvars(analysis=analysis_id),
        runtime().leased(Analysis, analysis_id) as taken,
    ):
        if taken is not None:
            analyze_study(runtime(), *taken)


@app.task(name=DELIVER_TASK)
def deliver(delivery_id: int) -> None:
    """Attempt one delivery if it is still due."""
    with (
        structlog.contextvars.bound_contextvars(delivery=delivery_id),
        runtime().leased(Delivery, delivery_id) as taken,
    ):
        if taken is not None:
            deliver_results(runtime(), *taken)
