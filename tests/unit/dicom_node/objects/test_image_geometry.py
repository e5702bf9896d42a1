"""Spacing, aspect, orientation and planes are read wherever an image may state them."""

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pydicom
import pytest
from every_kind import EVERY_KIND, tomosynthesis
from objects_factory import (
    bytes_of,
    finding,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)
from pydicom.dataset import Dataset
from sr_reading import walk

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.findings.image_geometry import plane_of
from mammoclip_core.images.header.patient_orientation import patient_orientation_of
from mammoclip_core.images.header.pixel_spacing import (
    pixel_aspect_of,
    spacing_in_patient_of,
    stated_spacing_of,
)

SIZE = (400, 300)
TALL: dict[str, Any] = {"ImagerPixelSpacing": [0.2, 0.1]}


def magnified(**attributes: Any) -> Dataset:
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator = "399163009", "SCT"
    modifier.CodeMeaning = "Magnification"
    dataset = mammogram(**attributes)
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [modifier]
    return dataset


def volume(**attributes: Any) -> Dataset:
    return tomosynthesis(**attributes)


def results_for(dataset: Dataset, frame: int = 1) -> dict[ResultKind, Dataset]:
    found = replace(finding(marker_mask(60, 150, (dataset.Rows, dataset.Columns))), frame=frame)
    image = replace(image_of(dataset, found), frame=frame)
    made = results_of((dataset, image), identity=identity(), profiles=(EVERY_KIND,))
    return {one.kind: pydicom.dcmread(io.BytesIO(bytes_of(one.dataset))) for one in made}


@pytest.mark.parametrize(
    ("attributes", "aspect"),
    [
        ({}, (1, 1)),
        (TALL, (2, 1)),
        ({"ImagerPixelSpacing": [0.05, 0.1]}, (1, 2)),
        ({"ImagerPixelSpacing": [0.0941, 0.0940999]}, (1, 1)),
        ({"ImagerPixelSpacing": None, "PixelSpacing": [0.3, 0.2]}, (3, 2)),
        ({"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.1, 0.2]}, (1, 2)),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [6, 5]}, (6, 5)),
        ({"PixelAspectRatio": [6, 5]}, (1, 1)),
        ({"ImagerPixelSpacing": [0.0, 0.1]}, (1, 1)),
        ({"ImagerPixelSpacing": [9000.0, 0.1]}, (1, 1)),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [0, 5]}, (1, 1)),
    ],
)
def test_aspect_is_the_height_of_a_pixel_for_its_width(
    attributes: dict[str, Any], aspect: tuple[int, int]
) -> None:
    assert pixel_aspect_of(mammogram(**attributes)) == Fraction(*aspect)


def test_aspect_of_a_volume_is_read_from_its_functional_groups() -> None:
    dataset = volume()
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.2, 0.1]

    assert pixel_aspect_of(dataset) == 2


@pytest.mark.parametrize(("spacing", "ratio"), [([0.2, 0.1], 2.0), ([0.1, 0.2], 0.5)])
@pytest.mark.parametrize("long_side", [None, 100])
def test_picture_of_pixels_that_are_not_square_has_square_ones(
    spacing: list[float], ratio: float, long_side: int | None
) -> None:
    dataset = mammogram(ImagerPixelSpacing=spacing)
    stored = np.zeros((dataset.Rows, dataset.Columns), np.uint16)

    picture = show(dataset, stored, long_side)

    rows, columns = picture.pixels.shape
    assert rows / columns == pytest.approx(ratio * dataset.Rows / dataset.Columns, rel=0.03)
    assert picture.row_scale / picture.column_scale == pytest.approx(ratio, rel=0.03)
    assert max(picture.row_scale, picture.column_scale) <= 1
    assert long_side is None or max(rows, columns) == long_side


@pytest.mark.parametrize(
    ("spacing", "stated"), [([0.1, 0.1], [1, 1]), ([0.2, 0.1], [2, 1]), ([0.075, 0.1], [3, 4])]
)
def test_presentation_state_states_the_aspect_of_the_image(
    spacing: list[float], stated: list[int]
) -> None:
    state = results_for(mammogram(ImagerPixelSpacing=spacing))[ResultKind.PRESENTATION_STATE]

    assert state.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio == stated


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({}, (0.1, 0.1)),
        ({"PixelSpacing": [0.08, 0.08]}, (0.08, 0.08)),
        ({"EstimatedRadiographicMagnificationFactor": 1.25}, (0.08, 0.08)),
        (
            {"PixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.08, 0.08),
        ),
        ({"DistanceSourceToDetector": 660, "DistanceSourceToPatient": 600}, (0.1 / 1.1, 0.1 / 1.1)),
        ({"EstimatedRadiographicMagnificationFactor": 0}, (0.1, 0.1)),
        ({"EstimatedRadiographicMagnificationFactor": 99}, (0.1, 0.1)),
        ({"ImagerPixelSpacing": None}, None),
    ],
)
def test_spacing_in_the_patient_allows_for_magnification(
    attributes: dict[str, Any], spacing: tuple[float, float] | None
) -> None:
    found = spacing_in_patient_of(mammogram(**attributes))

    assert found == (None if spacing is None else pytest.approx(spacing))


def test_magnification_view_has_no_spacing_unless_its_factor_is_known() -> None:
    assert spacing_in_patient_of(magnified()) is None
    assert spacing_in_patient_of(magnified(PixelSpacing=[0.1, 0.1])) is None
    known = magnified(EstimatedRadiographicMagnificationFactor=2.0)
    assert spacing_in_patient_of(known) == pytest.approx((0.05, 0.05))
    assert stated_spacing_of(known) == (0.1, 0.1)


def test_segmentation_of_a_magnification_view_states_no_spacing() -> None:
    segmentation = results_for(magnified())[ResultKind.SEGMENTATION]

    (measures,) = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert "PixelSpacing" not in measures


def test_projection_states_no_frame_of_reference_even_where_its_source_does() -> None:
    dataset = mammogram(FrameOfReferenceUID="1.2.3", PositionReferenceIndicator="NIPPLE")

    segmentation = results_for(dataset)[ResultKind.SEGMENTATION]

    assert "FrameOfReferenceUID" not in segmentation
    assert "PositionReferenceIndicator" not in segmentation
    assert "PlanePositionSequence" not in segmentation.PerFrameFunctionalGroupsSequence[0]


def test_segmentation_of_a_volume_lies_in_its_frame_of_reference() -> None:
    dataset = volume()

    segmentation = results_for(dataset, frame=3)[ResultKind.SEGMENTATION]

    (group,) = segmentation.PerFrameFunctionalGroupsSequence
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    assert segmentation.FrameOfReferenceUID == dataset.FrameOfReferenceUID
    assert group.PlanePositionSequence[0].ImagePositionPatient == [2, 0, 0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [0, 1, 0, 0, 0, -1]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.1, 0.1]


def without_position(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence


def without_orientation(dataset: Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence


def without_spacing(dataset: Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence


def with_null_orientation(dataset: Dataset) -> None:
    plane = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [0, 0, 0, 0, 0, 0]


def without_groups(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence


@pytest.mark.parametrize(
    "damage",
    [without_position, without_orientation, without_spacing, with_null_orientation, without_groups],
)
def test_volume_whose_planes_are_not_known_gives_no_frame_of_reference(damage: Any) -> None:
    dataset = volume()
    damage(dataset)

    segmentation = results_for(dataset, frame=3)[ResultKind.SEGMENTATION]

    assert "FrameOfReferenceUID" not in segmentation
    assert "PlanePositionSequence" not in segmentation.PerFrameFunctionalGroupsSequence[0]


def test_planes_and_spacing_of_each_frame_are_read_from_its_own_groups() -> None:
    dataset = volume()
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.PlaneOrientationSequence = shared.PlaneOrientationSequence
        group.PixelMeasuresSequence = shared.PixelMeasuresSequence
    dataset.SharedFunctionalGroupsSequence = [Dataset()]

    segmentation = results_for(dataset, frame=3)[ResultKind.SEGMENTATION]

    assert segmentation.FrameOfReferenceUID == dataset.FrameOfReferenceUID
    assert stated_spacing_of(dataset, 3) == (0.1, 0.1)
    plane = plane_of(dataset, 4)
    assert plane is not None
    assert plane.position == (3.0, 0.0, 0.0)


def test_orientation_of_a_volume_is_read_from_its_frames() -> None:
    by_cosines, by_letters = volume(), volume()
    orientation = Dataset()
    orientation.PatientOrientation = ["A", "FR"]
    by_letters.SharedFunctionalGroupsSequence[0].PatientOrientationInFrameSequence = [orientation]
    for dataset in (by_cosines, by_letters):
        del dataset.PatientOrientation

    assert patient_orientation_of(by_cosines) == ("P", "F")
    assert patient_orientation_of(by_letters) == ("A", "FR")


def test_reports_state_spacing_and_orientation_of_a_volume() -> None:
    dataset = volume()
    del dataset.PatientOrientation
    made = results_for(dataset, frame=3)

    for kind in (ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT):
        stated = {
            item.ConceptNameCodeSequence[0].CodeValue
            for _, item in walk(made[kind])
            if "ConceptNameCodeSequence" in item
        }
        assert {"111026", "111066", "111043", "111044"} <= stated


@pytest.mark.parametrize("columns", [300, 301, 307])
def test_segmentation_whose_rows_would_not_end_with_a_byte_holds_bytes(columns: int) -> None:
    mask = marker_mask(60, 150, (400, columns))

    segmentation = results_for(mammogram(size=(400, columns)))[ResultKind.SEGMENTATION]

    assert (segmentation.Rows, segmentation.Columns) == (400, columns)
    assert segmentation.BitsAllocated == 8
    assert (segmentation.SegmentationType, segmentation.SegmentationFractionalType) == (
        "FRACTIONAL",
        "OCCUPANCY",
    )
    assert np.array_equal(segmentation.pixel_array, mask * np.uint8(255))


def test_segmentation_whose_rows_end_with_a_byte_holds_bits() -> None:
    segmentation = results_for(mammogram(size=(400, 304)))[ResultKind.SEGMENTATION]

    assert (segmentation.SegmentationType, segmentation.BitsAllocated) == ("BINARY", 1)
    assert "SegmentationFractionalType" not in segmentation
