"""Nipple and chest wall are found from the breast's outline, or said to be unknown."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from core_factory import mammogram, save
from numpy.typing import NDArray

from mammoclip_core.images.breast_geometry import BreastGeometry, breast_geometry_of
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.stored_image import ProjectionHeader, StoredImage

ROWS, COLUMNS = 1200, 900
LENGTH, ROW = 600, 700
SPACING = (0.15, 0.15)


def breast(length: int = LENGTH, row: int = ROW, height: int = 450) -> NDArray[np.uint16]:
    """Return half an ellipse at the left edge, its foremost point in one row."""
    shown = np.zeros((ROWS, COLUMNS), np.uint16)
    cv2.ellipse(shown, (0, row), (length, height), 0, 0, 360, (2000,), cv2.FILLED)
    return shown


def geometry_of(values: NDArray[Any], **changes: Any) -> BreastGeometry | None:
    header = {"spacing_mm": SPACING, "orientation": ("A", "FR"), "is_whole_breast": True}
    stored = StoredImage(
        sop_instance_uid="1.2.3",
        values=values,
        photometric_interpretation=changes.pop("photometric", "MONOCHROME2"),
        projection=ProjectionHeader(**{**header, **changes}),
    )
    return breast_geometry_of(stored)


def near(geometry: BreastGeometry | None, nipple: tuple[float, float], wall: float) -> bool:
    return geometry is not None and bool(
        np.allclose((*geometry.nipple, geometry.chest_wall), (*nipple, wall), atol=12.0)
    )


def test_nipple_is_the_point_furthest_from_the_chest_wall() -> None:
    geometry = geometry_of(breast())

    assert near(geometry, (LENGTH, ROW), 0.0)
    assert geometry is not None
    assert geometry.length_mm == pytest.approx(0.15 * LENGTH, abs=2.0)
    assert geometry.depth_mm((LENGTH - 200, 0)) == pytest.approx(30.0, abs=2.0)
    assert geometry.below_mm((0, ROW + 100)) == pytest.approx(15.0, abs=2.0)
    assert geometry.downwards == "FR"


def test_chest_wall_may_be_on_the_right() -> None:
    geometry = geometry_of(np.ascontiguousarray(breast()[:, ::-1]), orientation=("P", "FL"))

    assert near(geometry, (COLUMNS - LENGTH, ROW), COLUMNS)
    assert geometry is not None
    assert geometry.depth_mm((COLUMNS - LENGTH + 200, 0)) == pytest.approx(30.0, abs=2.0)


def test_image_with_light_air_is_read_as_it_is_shown() -> None:
    assert near(geometry_of(4095 - breast(), photometric="MONOCHROME1"), (LENGTH, ROW), 0.0)


def test_marker_is_no_part_of_the_breast() -> None:
    values = breast()
    values[60:140, 760:860] = 4000

    assert near(geometry_of(values), (LENGTH, ROW), 0.0)


def test_pixels_that_are_not_square_are_measured_each_way() -> None:
    geometry = geometry_of(breast(), spacing_mm=(0.3, 0.1))

    assert geometry is not None
    assert geometry.length_mm == pytest.approx(0.1 * LENGTH, abs=2.0)
    assert geometry.below_mm((0, ROW + 100)) == pytest.approx(30.0, abs=4.0)


def test_breast_that_is_cut_off_in_front_has_no_nipple() -> None:
    assert geometry_of(breast(length=COLUMNS + 60)) is None


@pytest.mark.parametrize("row", [0, 30, ROWS - 30, ROWS])
def test_breast_that_reaches_out_in_a_corner_has_no_nipple(row: int) -> None:
    assert geometry_of(breast(row=row)) is None


def test_header_that_contradicts_the_pixels_about_the_chest_wall_is_believed_in_nothing() -> None:
    assert geometry_of(breast(), orientation=("P", "FR")) is None


@pytest.mark.parametrize("orientation", [("F", "A"), ("H", "P"), ("R", "F")])
def test_image_that_is_turned_is_not_measured(orientation: tuple[str, str]) -> None:
    assert geometry_of(breast(), orientation=orientation) is None


def test_pixels_tell_the_chest_wall_where_the_header_does_not() -> None:
    geometry = geometry_of(breast(), orientation=None)

    assert near(geometry, (LENGTH, ROW), 0.0)
    assert geometry is not None
    assert geometry.downwards == ""


def test_breast_as_high_on_both_sides_has_no_known_chest_wall() -> None:
    values = np.zeros((ROWS, COLUMNS), np.uint16)
    values[300:900] = 2000

    assert geometry_of(values, orientation=None) is None


@pytest.mark.parametrize("value", [0, 2000])
def test_image_without_air_or_without_breast_has_no_geometry(value: int) -> None:
    assert geometry_of(np.full((ROWS, COLUMNS), value, np.uint16)) is None


@pytest.mark.parametrize("changes", [{"spacing_mm": None}, {"is_whole_breast": False}])
def test_geometry_is_unknown_where_the_header_leaves_it_open(changes: dict[str, Any]) -> None:
    assert geometry_of(breast(), **changes) is None


def test_geometry_knows_the_day_of_its_view() -> None:
    geometry = geometry_of(breast(), acquired_on="2026-11-30")

    assert geometry is not None
    assert geometry.acquired_on == "2026-11-30"


def test_picture_without_a_header_has_no_geometry() -> None:
    picture = StoredImage(
        sop_instance_uid="1.2.3", values=breast(), photometric_interpretation="MONOCHROME2"
    )

    assert breast_geometry_of(picture) is None


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ImagerPixelSpacing": [0.1, 0.1]}, (0.1, 0.1)),
        (
            {"ImagerPixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.08, 0.08),
        ),
        ({}, None),
    ],
)
def test_spacing_is_that_in_the_breast(
    attributes: dict[str, Any], expected: tuple[float, float] | None, tmp_path: Path
) -> None:
    path = save(mammogram(breast(), **attributes), tmp_path / "image.dcm")

    header = read_pixels(path).projection

    assert header is not None
    assert header.spacing_mm == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"AcquisitionDate": "20261130"}, "2026-11-30"),
        ({"AcquisitionDateTime": "20261130235959.5+0100"}, "2026-11-30"),
        ({"AcquisitionDate": "20261131", "AcquisitionDateTime": "20261130"}, "2026-11-30"),
        ({"AcquisitionDate": "unknown"}, ""),
        ({}, ""),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_day_of_the_acquisition_is_that_of_the_header(
    attributes: dict[str, str], expected: str, tmp_path: Path
) -> None:
    path = save(mammogram(breast(), **attributes), tmp_path / "image.dcm")

    header = read_pixels(path).projection

    assert header is not None
    assert header.acquired_on == expected


def test_slice_of_a_tomosynthesis_is_no_view_of_a_whole_breast(tmp_path: Path) -> None:
    volume = mammogram(
        np.stack([breast(), breast()]), NumberOfFrames=2, ImagerPixelSpacing=[0.1, 0.1]
    )
    single = mammogram(breast(), SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3")

    for number, dataset in enumerate((volume, single)):
        stored = read_pixels(save(dataset, tmp_path / f"{number}.dcm"))
        assert not stored.is_whole_breast
        assert breast_geometry_of(replace(stored)) is None
