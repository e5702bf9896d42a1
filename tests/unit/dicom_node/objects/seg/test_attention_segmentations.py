"""A fractional segmentation has the values of the heatmap at the pixels of the image."""

from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from every_kind import EVERY_KIND, objects_of
from objects_factory import finding, heatmap_of, image_of, mammogram, marker_mask, results_of
from pydicom.dataset import Dataset
from sr_reading import read_back

from dicom_node.facts.result_kinds import ResultKind

PEAK = (70.0, 170.0)
POINTS = [(70, 170), (90, 170), (70, 150), (110, 170), (58, 186), (40, 130), (250, 350)]


def segmentation_in(results: tuple) -> Dataset:
    (one,) = [one for one in results if one.kind is ResultKind.ATTENTION_SEGMENTATION]
    return read_back(one.dataset)


def expected_at(column: int, row: int, peak: tuple[float, float] = PEAK) -> float:
    """Return what the heatmap says at the centre of a pixel."""
    squared = (column + 0.5 - peak[0]) ** 2 + (row + 0.5 - peak[1]) ** 2
    return float(np.exp(-squared / (2 * 20.0**2)))


def test_values_follow_the_heatmap() -> None:
    segmentation = hd.seg.Segmentation.from_dataset(segmentation_in(objects_of("one finding")))
    ((_, _, uid),) = segmentation.get_source_image_uids()

    values = segmentation.get_pixels_by_source_instance([uid], rescale_fractional=True)[0, ..., 0]

    assert values.shape == (400, 300)
    for column, row in POINTS:
        # The heatmap's cells are 8 pixels wide: between them it is interpolated.
        assert values[row, column] == pytest.approx(expected_at(column, row), abs=0.04)


def test_highest_value_lies_at_the_peak() -> None:
    values = segmentation_in(objects_of("one finding")).pixel_array

    row, column = np.unravel_index(values.argmax(), values.shape)
    assert (column, row) == pytest.approx(PEAK, abs=8)


def test_each_frame_of_a_volume_has_its_own_heatmap() -> None:
    dataset = segmentation_in(objects_of("tomosynthesis"))

    values = dataset.pixel_array / dataset.MaximumFractionalValue

    frames = [
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for group in dataset.PerFrameFunctionalGroupsSequence
    ]
    assert frames == [3, 5]
    for plane, peak in zip(values, [PEAK, (100.0, 200.0)], strict=True):
        for column, row in POINTS:
            assert plane[row, column] == pytest.approx(expected_at(column, row, peak), abs=0.04)


def test_two_findings_are_two_segments() -> None:
    dataset = mammogram()
    other = finding(marker_mask(150, 250), name="suspicious_calcification", score=0.7)
    results = results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)), other)),
        heatmaps=(
            heatmap_of(dataset, *PEAK),
            heatmap_of(dataset, 170.0, 270.0, "suspicious_calcification"),
        ),
        profiles=(EVERY_KIND,),
    )

    segmentation = segmentation_in(results)

    labels = [segment.SegmentLabel for segment in segmentation.SegmentSequence]
    assert [label.split(": ")[1] for label in labels] == ["mass", "suspicious calcification"]
    peaks = [np.unravel_index(plane.argmax(), plane.shape) for plane in segmentation.pixel_array]
    assert np.array(peaks) == pytest.approx(np.array([(170, 70), (270, 170)]), abs=8)


def test_heatmap_that_is_0_all_over_refuses_no_study() -> None:
    dataset = mammogram()
    faint = heatmap_of(dataset, 70.0, 170.0)
    nothing = replace(faint, values=np.zeros_like(faint.values))
    elsewhere = replace(faint, extent=(1000.0, 1000.0, 1300.0, 1400.0))

    for heatmap in (nothing, elsewhere):
        made = results_of(
            (dataset, image_of(dataset, finding(marker_mask(60, 150)))),
            heatmaps=(heatmap,),
            profiles=(EVERY_KIND,),
        )
        kinds = {one.kind for one in made}
        assert ResultKind.ATTENTION_SEGMENTATION not in kinds
        assert ResultKind.MEASUREMENT_REPORT in kinds
