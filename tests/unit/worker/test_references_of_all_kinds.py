"""Whoever keeps the results of every revision finds whatever each of their reports refers to."""

from collections.abc import Callable

import pytest
from archived_references import broken_references
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.facts.own_result import MANUFACTURER
from dicom_node.settings.destinations import DicomDestination
from dicom_node.settings.results import ProfileSettings
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
