"""What is large or many in an object is neither copied nor looked at piece by piece."""

import gc

import highdicom._standard_utils
import numpy as np
import pytest
from former_factory import EVERY_KIND
from objects_factory import (
    breast_pixels,
    finding,
    heatmap_of,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    study_of,
)

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.content.graphic_data import graphic_data
from dicom_node.objects.drawing.hanging import cell_of
from dicom_node.objects.drawing.layout import QUARTER, layout_of
from dicom_node.objects.drawing.lettering import LEAST_TEXT, Paragraph
from dicom_node.objects.drawing.panel import Panel
from dicom_node.objects.drawing.reduction import reduced
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.results import build_results
from dicom_node.objects.sources import SourceInstance
from mammoclip_core.findings import StudyAnalysis


def test_halving_is_the_mean_of_four_pixels() -> None:
    values = np.random.default_rng(0).integers(0, 4096, (64, 48), dtype=np.uint16)

    quarter = reduced(values, (16, 12))

    exact = values.reshape(16, 4, 12, 4).mean(axis=(1, 3))
    assert np.abs(quarter - exact).max() <= 1.0
    assert reduced(values, (31, 23)).shape == (31, 23)


def test_text_is_set_in_few_of_the_widths_that_can_be_chosen(monkeypatch) -> None:
    tried = []
    height = Panel.height

    def noted(panel: Panel, width: float) -> float:
        tried.append(width)
        return height(panel, width)

    monkeypatch.setattr(Panel, "height", noted)

    layout_of((2048, 1664), Panel(paragraphs=(Paragraph(text="mass 90 %"),)), QUARTER)

    assert len(tried) == 1


@pytest.mark.parametrize("findings", [20, 75, 300])
def test_picture_of_dozens_of_findings_stays_within_bounds(findings: int) -> None:
    """It was as high as 44 images, and took half a gigabyte, with 300 findings on one image."""
    rows = 2048
    names = [
        Paragraph(text=f"{number} suspicious calcification 90 %") for number in range(findings)
    ]
    panel = Panel(paragraphs=tuple(names))

    layout = layout_of((rows, 1664), panel, QUARTER)

    high = panel.height(layout.panel_columns / layout.text) * layout.text
    assert high <= 2.5 * rows or layout.text == LEAST_TEXT


def test_text_that_fits_is_as_large_as_ever() -> None:
    layout = layout_of((2048, 1664), Panel(paragraphs=(Paragraph(text="mass 90 %"),)), QUARTER)

    assert layout.text > 4 * LEAST_TEXT


def test_small_picture_takes_the_breast_that_the_large_one_found(monkeypatch) -> None:
    dataset = mammogram(size=(1600, 1200))
    whole = show(dataset, breast_pixels(dataset))
    small = whole.within(*cell_of(1600))
    found = whole.tissue.on(whole.pixels)
    monkeypatch.setattr("dicom_node.objects.drawing.tissue.breast_mask", None)

    on_small = small.tissue.on(small.pixels)

    assert on_small.shape == small.pixels.shape
    assert abs(on_small.mean() - found.mean()) < 0.01


def test_graphic_data_is_written_as_the_library_writes_it() -> None:
    numbers = [0.5, 1.25, 3328.0]

    element = graphic_data(iter(numbers))

    assert (element.keyword, element.VR, list(element.value)) == ("GraphicData", "FL", numbers)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_collector_is_after_building_as_it_was_before(is_enabled: bool) -> None:
    dataset = mammogram()
    image = image_of(dataset, finding(marker_mask(60, 150)))
    source = SourceInstance(dataset=dataset, pixels=breast_pixels(dataset))
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()

        build_results([source], StudyAnalysis(findings=study_of(image)), identity())

        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_no_object_loads_the_tables_of_the_standard(monkeypatch) -> None:
    """They take 42 MB of each worker, to look up what our objects state anyway."""
    monkeypatch.setattr(highdicom._standard_utils, "get_module_attribute_map", None)
    dataset = mammogram()

    made = results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))),
        heatmaps=(heatmap_of(dataset, 70.0, 170.0),),
        profiles=(EVERY_KIND,),
    )

    assert {one.kind for one in made} >= {
        ResultKind.SEGMENTATION,
        ResultKind.ATTENTION_SEGMENTATION,
        ResultKind.MEASUREMENT_REPORT,
    }
