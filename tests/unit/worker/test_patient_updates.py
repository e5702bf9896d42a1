"""Results of a study whose patient was merged carry the identity that is left."""

import pytest
from pydicom.dataset import Dataset
from test_corrected_patients import VIEWS, analysed, named_in, receive_all
from unit.dicom_node.hl7.adt import NEW_ID, adt
from unit.dicom_node.node_factory import PATIENT_ID, Reception
from worker_factory import shown_mammogram

from dicom_node.hl7.correcting import PatientCorrections
from dicom_node.hl7.listener import Hl7Listener
from dicom_node.settings.ways_in.hl7 import Hl7Settings
from dicom_node.studies.ledger.states import AnalysisState
from worker.runtime import Runtime


@pytest.fixture
def images() -> list[Dataset]:
    return [shown_mammogram(view, side) for view, side in VIEWS]


def test_results_are_made_again_under_the_surviving_patient(
    node: Runtime, reception: Reception, images: list[Dataset]
) -> None:
    receive_all(reception, images)
    first = analysed(node, reception)
    message = adt("A40", pid=NEW_ID, name="Neu^Nora", mrg=PATIENT_ID)

    Hl7Listener(Hl7Settings(enabled=True), reception.spool.root).answer(message)
    corrections = PatientCorrections(
        node.settings, reception.spool, reception.database, lambda: True
    )
    corrections.step()
    reception.registrar.register_all()
    second = analysed(node, reception)

    assert (second.state, second.revision) == (AnalysisState.DONE, 2)
    assert named_in(reception, second, "PatientID") == {NEW_ID}
    assert named_in(reception, second, "PatientName") == {"Neu^Nora"}
    assert named_in(reception, first, "PatientID") == {PATIENT_ID}
