"""A site of the lab: a worker with a stand-in for the model, the node's listener and prover."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unit.dicom_node.node_factory import Reception
from unit.worker.worker_factory import (
    StandInEngine,
    due_analysis,
    run_analysis,
    shown_mammogram,
    stand_in_manifest,
)

from dicom_node.proof.prover import Prover
from dicom_node.receive.listener import Listener
from dicom_node.receive.reporters import reporters_of
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomDestination, DicomwebDestination
from dicom_node.settings.work import RetrySettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.reports import Reports
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime

_SOON = RetrySettings(first_seconds=0.05, longest_seconds=0.2)
_LONGEST_SECONDS = 60.0


class LabSite:
    """One study analysed, and its results due for one archive."""

    def __init__(self, node: Runtime, prover: Prover, reception: Reception) -> None:
        self._node, self._prover, self._reception = node, prover, reception

    def result(
        self, wanted: str, because: str = "", *, has_reported: Callable[[], bool]
    ) -> tuple[str, str]:
        """Deliver and ask until the delivery has a state for a reason; return both.

        Returns what it has after a minute, if that is another.
        """
        give_up_at = time.monotonic() + _LONGEST_SECONDS
        while True:
            row = self._delivery()
            if row.state is DeliveryState.DUE:
                attempt_delivery(self._node, row.id)
            is_told = has_reported()
            self._prover.tick()
            row = self._delivery()
            is_as_wanted = is_told and row.state == wanted and because in row.reason
            if is_as_wanted or time.monotonic() > give_up_at:
                return row.state.value, row.reason
            time.sleep(0.05)

    def _delivery(self) -> Delivery:
        (row,) = self._reception.rows(Delivery)
        assert isinstance(row, Delivery)
        return row


@contextmanager
def lab_site(
    folder: Path,
    destination: DicomDestination | DicomwebDestination,
    *,
    node_port: int,
    decoding: DecodingPool,
    receive: dict[str, Any],
) -> Iterator[LabSite]:
    """Have a study analysed whose results are due for an archive, and listen for its reports."""
    settings = Settings(
        spool=folder / "spool",
        destinations=(destination,),
        receive=ReceiveSettings(port=node_port, minimum_free_bytes=1, **receive),
        retry=_SOON,
    )
    spool = Spool(settings.spool)
    node = Runtime(settings)
    node_engine: Any = node
    node_engine.engine, node_engine.manifest = StandInEngine(), stand_in_manifest()
    node_engine.decoding = decoding
    node_engine.database = Database(settings.ledger_url)
    node.database.migrate()
    reception = Reception(spool, node.database)
    listener = Listener(settings.receive, spool, reporters=reporters_of(settings))
    prover = Prover(settings, node.database, Reports(spool.root), stays_seconds=1.0)
    listener.start()
    try:
        reception.receive(shown_mammogram())
        run_analysis(node, due_analysis(reception))
        yield LabSite(node, prover, reception)
    finally:
        prover.stop()
        listener.stop()
        node.database.close()
