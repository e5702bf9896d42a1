"""A mammogram that is stored as CR or DX image, analysed by setting: every object can be made."""

from collections.abc import Callable

import pydicom
import pytest
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.ways_out.results import ProfileSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import ResultObject
from worker.runtime import Runtime

KINDS = (
    *("measurement_report", "cad_report", "segmentation", "secondary_capture"),
    *("summary_sheet", "presentation_state", "pdf_report"),
)
CR, DX = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"
HEADER = {"Modality": "CR", "BodyPartExamined": "BREAST", "Laterality": "L"}
WITHOUT = ("ImageLaterality", "PresentationIntentType", "PresentationLUTShape")


@pytest.fixture
def node(runtime_with: Callable[..., Runtime]) -> Runtime:
    archive = DicomDestination(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=104, profile="everything"
    )
    profiles = {"everything": ProfileSettings(objects=KINDS)}
    return runtime_with(profiles=profiles, destinations=(archive,))


@pytest.mark.parametrize("sop_class", [CR, DX])
def test_radiograph_from_a_sender_that_is_named_has_every_result(
    node: Runtime, sop_class: str
) -> None:
    settings = ReceiveSettings(radiograph_senders=("CR-ROOM",))
    reception = Reception(Spool(node.settings.spool), node.database, settings)
    image = shown_mammogram("CC", SOPClassUID=sop_class, **HEADER, without=WITHOUT)
    reception.receive(image, calling_ae_title="CR-ROOM")

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.reason) == (AnalysisState.DONE, "")
    rows = reception.rows(ResultObject)
    assert {row.kind for row in rows} == set(KINDS)
    objects = [pydicom.dcmread(reception.spool.file(row.place)) for row in rows]
    assert {one.PatientID for one in objects} == {image.PatientID}


def test_radiograph_of_another_sender_is_named_in_the_report_as_left_out(node: Runtime) -> None:
    reception = Reception(Spool(node.settings.spool), node.database)
    reception.receive(shown_mammogram("MLO"))
    left_out = reception.receive(shown_mammogram("CC", SOPClassUID=CR, **HEADER, without=WITHOUT))

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, left_out.reason) == (AnalysisState.DONE, "radiograph")
    assert analysis.findings is not None
    assert "left_out" in analysis.findings
    assert left_out.sop_instance_uid in analysis.findings
