"""Each kind of result object is one row, from which everything else follows."""

import ast
import sys
from pathlib import Path
from subprocess import run
from typing import get_args

import pytest
from every_kind import EVERY_KIND, STUDIES, objects_of
from objects_factory import (
    finding,
    heatmap_of,
    identity,
    image_of,
    mammogram,
    marker_mask,
    source_of,
    study_of,
)

from dicom_node.facts.result_kinds import ResultKind, series_numbers_from
from dicom_node.facts.storage_classes import RESULT_CLASSES
from dicom_node.objects.identity import DEFAULT_SERIES_NUMBER_BASE
from dicom_node.objects.results import build_results, plan_of
from dicom_node.settings.ways_out.results import ProfileSettings, ResultSettings
from mammoclip_core.findings import StudyAnalysis

ROOT = Path(__file__).parents[3]
NUMBERS = {
    "measurement_report": 9001,
    "cad_report": 9002,
    "segmentation": 9003,
    "secondary_capture": 9004,
    "summary_sheet": 9005,
    "presentation_state": 9006,
    "pdf_report": 9007,
    "attention_segmentation": 9008,
    "key_images": 9009,
    "rejection_note": 9010,
}


def table_rows(document: str) -> dict[str, list[str]]:
    """Return the cells of each row of a document's tables by the words of their first cell."""
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {row[0].split(",")[0].split(" (")[0]: row for row in rows}


def series_of(kind: ResultKind) -> str:
    number = series_numbers_from(ResultSettings().series_number_base)[kind]
    return f"{number}001, {number}002, ..." if kind.row.has_series_per_image else str(number)


def test_series_numbers_stay_what_archives_know() -> None:
    assert {kind.value: n for kind, n in series_numbers_from(9000).items()} == NUMBERS


def test_render_numbers_series_as_a_node_does_by_default() -> None:
    assert ResultSettings().series_number_base == DEFAULT_SERIES_NUMBER_BASE


def test_settings_offer_exactly_the_kinds_that_there_are() -> None:
    annotation = ProfileSettings.model_fields["objects"].annotation
    offered = get_args(get_args(annotation)[0])

    assert set(offered) == {kind.value for kind in ResultKind}


@pytest.mark.parametrize("kind", ResultKind)
def test_row_names_the_module_that_plans_its_objects(kind: ResultKind) -> None:
    assert callable(plan_of(kind))


@pytest.mark.parametrize("kind", ResultKind)
def test_description_fits_with_any_revision(kind: ResultKind) -> None:
    assert len(f"{kind.row.series_description}, rev 99999") <= 64


@pytest.mark.parametrize("study", STUDIES)
def test_objects_are_of_the_sop_classes_of_their_rows(study: str) -> None:
    for result in objects_of(study):
        assert result.dataset.SOPClassUID in result.kind.row.sop_class_uids
        assert result.dataset.SOPClassUID in RESULT_CLASSES


def test_kinds_are_built_in_the_order_of_their_rows() -> None:
    dataset = mammogram()
    image = image_of(dataset, finding(marker_mask(60, 150)))
    analysis = StudyAnalysis(findings=study_of(image), heatmaps=(heatmap_of(dataset, 70.0, 170.0),))

    results = build_results([source_of(dataset)], analysis, identity(), profiles=(EVERY_KIND,))

    kinds = [one.kind for one in results]
    assert kinds == [kind for kind in ResultKind if kind is not ResultKind.REJECTION_NOTE]


@pytest.mark.parametrize("kind", ResultKind)
def test_documents_name_each_kind_and_its_series(kind: ResultKind) -> None:
    assert table_rows("docs/objects.md")[kind.row.title][1] == series_of(kind)


@pytest.mark.parametrize(
    "kind",
    [ResultKind.MEASUREMENT_REPORT, ResultKind.SEGMENTATION, ResultKind.SECONDARY_CAPTURE],
)
def test_readme_names_the_series_of_what_comes_back(kind: ResultKind) -> None:
    assert table_rows("README.md")[kind.row.title][2] == series_of(kind)


def test_listener_reads_the_rows_without_the_builders() -> None:
    code = (
        "import sys, dicom_node.facts.storage_classes\n"
        "print([m for m in sys.modules if 'highdicom' in m or m.startswith('dicom_node.objects')])"
    )

    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ast.literal_eval(done.stdout) == []
