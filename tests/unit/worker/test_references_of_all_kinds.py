"""Whoever keeps the results of every revision finds whatever each of their reports refers to."""

import io
from collections.abc import Callable

import pydicom
import pytest
from archived_references import broken_references
from test_references_over_revisions import accept_everything
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.facts.own_result import MANUFACTURER
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.ways_out.results import ProfileSettings
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Instance, ResultObject
from worker.runtime import Runtime

EVERYTHING = ProfileSettings(
    objects=(
        *("measurement_report", "cad_report", "segmentation", "secondary_capture"),
        *("summary_sheet", "presentation_state", "pdf_report"),
    )
)


def destination(profile: str) -> DicomDestination:
    return DicomDestination(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=104, profile=profile
    )


def held_by_an_archive(reception: Reception) -> list[bytes]:
    """Return every image and every object of every revision, each once."""
    places = dict.fromkeys(
        [row.place for row in reception.rows(Instance)]
        + [row.place for row in reception.rows(ResultObject)]
    )
    return [reception.spool.file(place).read_bytes() for place in places]


@pytest.mark.long
def test_every_reference_of_every_revision_is_found(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    nodes = [
        runtime_with(profiles={"own": EVERYTHING}, destinations=(destination(profile),))
        for profile in ("own", "own", "pacs", "ohif")
    ]
    reception.receive(shown_mammogram("CC", "L"))
    reception.receive(shown_mammogram("MLO", "L"))
    for revision, node in enumerate(nodes, start=1):
        if revision == 2:  # a retry, and beside it the answer stays what it was
            assert run_analysis(node, due_analysis(reception)).state is AnalysisState.DONE
            reception.receive(shown_mammogram("CC", "R"))
        if revision == 4:
            node.engine.score = 0.7
        assert run_analysis(node, due_analysis(reception)).state is AnalysisState.DONE

    count, broken = broken_references(held_by_an_archive(reception), by=MANUFACTURER)

    assert broken == []
    assert count > 50


@pytest.mark.long
def test_newest_results_refer_to_nothing_that_was_retracted(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    kinds = (*EVERYTHING.objects, "key_images", "rejection_note")
    fewer = ("measurement_report", "segmentation", "key_images", "rejection_note")
    profiles = {
        "own": ProfileSettings(objects=kinds),
        "fewer": ProfileSettings(objects=fewer),
        "pictures": ProfileSettings(objects=(*fewer, "secondary_capture")),
    }
    reception.receive(shown_mammogram("CC", "L"))
    for revision, profile in enumerate(("own", "own", "fewer", "pictures", "pictures"), start=1):
        node = runtime_with(profiles=profiles, destinations=(destination(profile),))
        if revision == 2:
            reception.receive(shown_mammogram("MLO", "L"))
        node.engine.score = 0.9 - revision // 3 / 10
        assert run_analysis(node, due_analysis(reception)).state is AnalysisState.DONE
        accept_everything(reception)

    held = [pydicom.dcmread(io.BytesIO(file)) for file in held_by_an_archive(reception)]
    notes = [one for one in held if one.get("Modality") == "KO" and _is_rejection(one)]
    retracted = {uid for note in notes for uid in _named_in(note)}
    by_uid = {str(one.SOPInstanceUID): one for one in held}
    newest = [
        by_uid[row.sop_instance_uid]
        for row in reception.rows(ResultObject)
        if row.analysis_id == max(one.analysis_id for one in reception.rows(ResultObject))
    ]

    assert len(notes) >= 2
    assert retracted <= by_uid.keys()
    # Pictures, sheet and page of the profile that is no longer sent are retracted as well.
    assert {by_uid[uid].Modality for uid in retracted} >= {"OT", "SEG", "PR", "DOC", "KO"}
    for one in newest:
        if one not in notes:
            assert not retracted & {str(one.SOPInstanceUID)}
            assert not retracted & (_named_in(one) - _predecessors_of(one))
    count, broken = broken_references(held_by_an_archive(reception), by=MANUFACTURER)
    assert broken == []
    assert count > 50


def _is_rejection(document: pydicom.Dataset) -> bool:
    return bool(document.ConceptNameCodeSequence[0].CodeValue == "113037")


def _named_in(dataset: pydicom.Dataset) -> set[str]:
    return {
        str(element.value)
        for element in dataset.iterall()
        if element.keyword == "ReferencedSOPInstanceUID"
    }


def _predecessors_of(dataset: pydicom.Dataset) -> set[str]:
    items = dataset.get("PredecessorDocumentsSequence", [])
    return {uid for item in items for uid in _named_in(item)}
