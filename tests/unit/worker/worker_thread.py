"""What workers do, in a thread of a test: no broker tells it of work, it looks for it."""

import threading

from sqlalchemy import select
from worker_factory import run_analysis

from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime


class Worker:
    """Does in a thread what workers do, for the stand-in of a model; some of it on request only."""

    def __init__(self, node: Runtime) -> None:
        self.node = node
        self.analyses = self.deliveries = True
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Worker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(0.05):
            if not self.node.database.has_tables():
                continue
            with self.node.database.reading() as session:
                due = select(Analysis.id).where(Analysis.state == AnalysisState.DUE)
                analyses = list(session.scalars(due)) if self.analyses else []
                unsent = select(Delivery.id).where(Delivery.state == DeliveryState.DUE)
                deliveries = list(session.scalars(unsent)) if self.deliveries else []
            for analysis_id in analyses:
                run_analysis(self.node, analysis_id)
            for delivery_id in deliveries:
                attempt_delivery(self.node, delivery_id)
