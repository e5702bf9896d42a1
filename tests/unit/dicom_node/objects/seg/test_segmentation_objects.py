"""A segmentation holds each region on the very pixels of its source."""

import io
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from objects_factory import (
    NEGATIVE,
    bytes_of,
    context_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    standard_views,
    study_of,
)
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.seg.segmentation import build_segmentation
from mammoclip_core.findings import Finding


def segmentation_of(*findings: Finding, **attributes: object) -> Dataset:
    dataset = mammogram(**attributes)
    image = image_of(dataset, *findings)
    built = build_segmentation(dataset, [image], 1, context_of(study_of(image)))
    return pydicom.dcmread(io.BytesIO(bytes_of(built)))


def test_mask_of_an_asymmetric_marker_comes_back_pixel_by_pixel() -> None:
    mask = marker_mask(60, 150)

    segmentation = segmentation_of(finding(mask))

    assert np.array_equal(segmentation.pixel_array.astype(bool), mask)


def test_overlapping_regions_of_two_findings_keep_their_own_pixels() -> None:
    first, second = marker_mask(60, 150), marker_mask(64, 154)
    calcification = finding(second, name="suspicious_calcification")

    segmentation = segmentation_of(finding(first), calcification)

    assert np.array_equal(segmentation.pixel_array.astype(bool), np.stack([first, second]))


def test_highdicom_reads_each_segment_of_its_source() -> None:
    masks = (marker_mask(20, 120), marker_mask(90, 200))
    dataset = mammogram()

    segmentation = hd.seg.Segmentation.from_dataset(segmentation_of(finding(*masks)))

    pixels = segmentation.get_pixels_by_source_instance([dataset.SOPInstanceUID])
    assert np.array_equal(np.moveaxis(pixels[0], -1, 0).astype(bool), np.stack(masks))


def test_segment_is_named_by_what_it_is() -> None:
    segment = segmentation_of(finding(marker_mask(60, 150))).SegmentSequence[0]

    assert segment.SegmentLabel == "1 AI attention region: mass"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentAlgorithmName == "demonstration"
    assert segment.AnatomicRegionSequence[0].CodeValue == "76752008"
    modifier = segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0]
    assert modifier.CodeMeaning == "Left"


def test_rows_run_along_rows_for_viewers_that_ask() -> None:
    shared = segmentation_of(finding(marker_mask(60, 150))).SharedFunctionalGroupsSequence[0]

    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
def test_pixels_have_the_stated_size_and_a_nominal_thickness(keyword: str) -> None:
    header: dict[str, Any] = {"ImagerPixelSpacing": None, keyword: [0.1, 0.2]}

    segmentation = segmentation_of(finding(marker_mask(60, 150)), **header)

    (measures,) = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.PixelSpacing == [0.1, 0.2]
    assert measures.SliceThickness == 1


@pytest.mark.parametrize("spacing", [None, [0.0, 0.1], [0.1]])
def test_a_size_that_is_not_stated_is_not_made_up(spacing: list[float] | None) -> None:
    segmentation = segmentation_of(finding(marker_mask(60, 150)), ImagerPixelSpacing=spacing)

    (measures,) = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert {element.keyword for element in measures} == {"SliceThickness"}  # OHIF wants an item


def test_each_segmentation_is_alone_in_its_series() -> None:
    """OHIF 3.13 lists one of a series."""
    views = [mammogram(view, side) for side, view in standard_views()]
    marked = finding(marker_mask(60, 150))
    pairs = [(one, image_of(one, marked)) for one in views]

    first, again = (
        [one.dataset for one in results_of(*pairs) if one.kind is ResultKind.SEGMENTATION]
        for _ in range(2)
    )

    series = [one.SeriesInstanceUID for one in first]
    assert series == [one.SeriesInstanceUID for one in again]
    assert len(set(series)) == len({one.SeriesNumber for one in first}) == len(views)
    assert [one.SeriesDescription.partition(" AI ")[0] for one in first] == [
        " ".join(view) for view in standard_views()
    ]


def test_image_without_region_is_refused() -> None:
    with pytest.raises(ObjectRefusedError, match=mammogram().SOPInstanceUID):
        segmentation_of(NEGATIVE)


def test_two_findings_have_two_colors() -> None:
    calcification = finding(marker_mask(90, 200), name="suspicious_calcification")

    segments = segmentation_of(finding(marker_mask(60, 150)), calcification).SegmentSequence

    first, second = (segment.RecommendedDisplayCIELabValue for segment in segments)
    assert first != second
