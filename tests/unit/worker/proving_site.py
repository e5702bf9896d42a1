"""A worker that delivers to one archive, and the node's prover that asks for it."""

import threading
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from proving_archive import ProvingArchive
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from services import wait_for
from unit.dicom_node.node_factory import (
    Reception,
    analysis_row,
    finished,
    made_result,
    mammogram,
    study_row,
)

from dicom_node.destination_profiles import products_wanted_by
from dicom_node.proof.prover import Prover
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.work import RetrySettings
from dicom_node.spool.messages.reports import Reports
from dicom_node.studies.ledger.due.outcomes import MadeResult
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery, DeliveryOutcome
from worker.deliver.delivery import deliver_results
from worker.runtime import Runtime

CLASSES = {
    "measurement_report": "1.2.840.10008.5.1.4.1.1.88.34",
    "secondary_capture": "1.2.840.10008.5.1.4.1.1.7",
    "segmentation": "1.2.840.10008.5.1.4.1.1.66.4",
}

SOON = RetrySettings(first_seconds=0.001, longest_seconds=0.01)


class Proving:
    """A worker that delivers to one archive, and the node's prover."""

    def __init__(self, node: Runtime, reception: Reception, archive: ProvingArchive) -> None:
        self.node, self.reception, self.archive = node, reception, archive
        self.prover = self._prover()

    def change_destination(self, **changes: Any) -> None:
        """Go on with other settings of the archive."""
        (former,) = self.node.settings.destinations
        changed = (former.model_copy(update=changes),)
        self.node.settings = self.node.settings.model_copy(update={"destinations": changed})
        self.prover.stop()
        self.prover = self._prover()

    def _prover(self) -> Prover:
        is_same = getattr(self.archive, "way", "") == "same association"
        return Prover(
            self.node.settings,
            self.node.database,
            Reports(self.reception.spool.root),
            stays_seconds=2 if is_same else 0.02,
        )

    @property
    def delivery(self) -> Delivery:
        (row,) = self.reception.rows(Delivery)
        assert isinstance(row, Delivery)
        return row

    def deliver(self) -> None:
        with self.node.leased(Delivery, 1) as taken:
            if taken is not None:
                deliver_results(self.node, *taken)

    def ask(self) -> None:
        (destination,) = self.node.settings.destinations
        self.prover.ask(destination)

    def ask_until(self, *states: DeliveryState) -> None:
        def reached() -> bool:
            self.ask()
            return self.delivery.state in states

        wait_for(reached, seconds=60, what=f"the delivery is {states}")

    def outcomes(self) -> set[str]:
        return {row.outcome for row in self.reception.rows(DeliveryOutcome)}

    def summary(self) -> reading.StudySummary:
        with self.node.database.reading() as session:
            (one,) = reading.summaries(session, limit=9)
        return one


def proving_site(
    runtime_with: Callable[..., Runtime],
    reception: Reception,
    archive: ProvingArchive,
    retry: RetrySettings = SOON,
    **changes: Any,
) -> Proving:
    """Have three result objects due for the archive, which is to prove them."""
    values = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1"}
    values |= {"port": archive.port, "timeout_seconds": 5, "confirm": "query", **changes}
    node = runtime_with(destinations=(DicomDestination(**values),), retry=retry)
    wanted = sorted(products_wanted_by("archive", node.settings))
    results = [_result(reception, kind, variant) for kind, variant in wanted]
    with node.database.writing() as session:
        finished(session, analysis_row(session, study_row(session)), *results)
    return Proving(node, reception, archive)


def _result(reception: Reception, kind: str, variant: str) -> MadeResult:
    dataset = mammogram(SOPClassUID=CLASSES[kind])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return made_result(
        kind=kind,
        variant=variant,
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        series_instance_uid=dataset.SeriesInstanceUID,
        place=reception.spool.keep_result(content.getvalue(), 1, 1, kind),
    )


def stop_beside(servers: Sequence[Any]) -> None:
    """Stop servers in their order beside the next test: each takes half a second to look up."""

    def stop() -> None:
        for one in servers:
            one.stop()

    threading.Thread(target=stop).start()
