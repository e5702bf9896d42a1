"""The clinical path: pydicom as the second opinion on values, marks as that on places."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from core_factory import WriteInstance, breast, mammogram, save
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian
from sample_images import FILM, further, sample

from mammoclip_core.images.clinical_crop import breast_mask, clinical_crop
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.grayscale import to_display
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.images.stored_image import DisplayHeader, StoredImage
from mammoclip_core.manifest import Preprocessing

CLINICAL = Preprocessing(mode="clinical", rows=380, columns=228, mean=0.3089279, std=0.2505355)
VALUES = breast(90, 74, seed=1)


def table(first: int, bits: int = 12) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [4096, first, bits]
    entries = (np.linspace(0, 1, 4096) ** 2 * ((1 << bits) - 1)).astype("<u2")
    item.LUTData = entries.tobytes()
    item["LUTData"].VR = "OW"
    item.ModalityLUTType = "US"
    return item


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize("signed", [False, True])
def test_window_shows_what_pydicom_shows(
    write_instance: WriteInstance, function: str | None, signed: bool
) -> None:
    values = VALUES.astype(np.int16) - 2048 if signed else VALUES
    changes = {"RescaleSlope": 1.5, "RescaleIntercept": -100}
    path = write_instance(
        values, WindowCenter=900, WindowWidth=2500, VOILUTFunction=function or "LINEAR", **changes
    )

    shown = to_display(read_pixels(path))

    dataset = pydicom.dcmread(path)
    expected = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    low = -2048 * 1.5 - 100 if signed else -100
    share = (expected - low) / (4095 * 1.5)
    np.testing.assert_allclose(shown / 65535, share, atol=2e-5)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_tables_show_what_pydicom_shows(write_instance: WriteInstance, bits: int) -> None:
    path = write_instance(VALUES, VOILUTSequence=[table(0, bits)])

    shown = to_display(read_pixels(path))

    dataset = pydicom.dcmread(path)
    expected = apply_voi_lut(dataset.pixel_array, dataset) / ((1 << bits) - 1)
    np.testing.assert_allclose(shown / 65535, expected, atol=2e-5)


@pytest.mark.parametrize("vr", ["SS", "US"])
@pytest.mark.parametrize("intercept", [-1024, -2048.5])
def test_table_of_negative_inputs_begins_below_zero(
    write_instance: WriteInstance, vr: str, intercept: float
) -> None:
    item = table(0)
    # Pixels are unsigned; what the rescale makes of them is not.
    item.LUTDescriptor = [4096, -1024 if vr == "SS" else 0x10000 - 1024, 12]
    item["LUTDescriptor"].VR = vr
    path = write_instance(VALUES, VOILUTSequence=[item], RescaleSlope=1, RescaleIntercept=intercept)

    shown = to_display(read_pixels(path))

    places = np.clip(np.rint(VALUES.astype(float) + intercept) + 1024, 0, 4095).astype(int)
    expected = np.frombuffer(item.LUTData, "<u2")[places] / 4095
    np.testing.assert_allclose(shown / 65535, expected, atol=2e-5)


def test_table_after_a_modality_table_begins_above_zero(write_instance: WriteInstance) -> None:
    modality, voi = table(-2048, 16), table(0)
    modality.LUTDescriptor[1] = -2048
    voi.LUTDescriptor = [4096, 40_000, 12]
    values = VALUES.astype(np.int16) - 2048
    modality["LUTDescriptor"].VR, voi["LUTDescriptor"].VR = "SS", "US"
    path = write_instance(values, ModalityLUTSequence=[modality], VOILUTSequence=[voi])

    shown = to_display(read_pixels(path))

    measured = np.frombuffer(modality.LUTData, "<u2")[VALUES].astype(int)
    expected = np.frombuffer(voi.LUTData, "<u2")[np.clip(measured - 40_000, 0, 4095)] / 4095
    np.testing.assert_allclose(shown / 65535, expected, atol=2e-5)


def test_table_of_65536_entries_shows_what_pydicom_shows(write_instance: WriteInstance) -> None:
    item = table(0, 16)
    item.LUTDescriptor = [0, 0, 16]
    item.LUTData = (np.linspace(0, 1, 65_536) ** 0.5 * 65_535).astype("<u2").tobytes()
    path = write_instance(VALUES, VOILUTSequence=[item])

    shown = to_display(read_pixels(path))

    dataset = pydicom.dcmread(path)
    np.testing.assert_array_equal(shown, apply_voi_lut(dataset.pixel_array, dataset))


def test_first_of_several_tables_goes_before_a_window(write_instance: WriteInstance) -> None:
    other = table(0, 16)
    other.LUTData = np.frombuffer(other.LUTData, "<u2")[::-1].tobytes()
    path = write_instance(
        VALUES, VOILUTSequence=[table(0, 16), other], WindowCenter=[9, 5000], WindowWidth=[9, 900]
    )

    shown = to_display(read_pixels(path))

    dataset = pydicom.dcmread(path)
    np.testing.assert_array_equal(shown, apply_voi_lut(dataset.pixel_array, dataset))


@pytest.mark.parametrize("vr", ["OW", "OB", "US"])
@pytest.mark.parametrize("count", [4096, 4095])
def test_entries_of_one_byte_each_are_read_as_such(
    write_instance: WriteInstance, vr: str, count: int
) -> None:
    entries = np.rint(np.linspace(0, 1, count) ** 2 * 255).astype(np.uint8)
    packed, plain = Dataset(), Dataset()
    packed.LUTDescriptor, plain.LUTDescriptor = [count, 0, 8], [count, 0, 8]
    content = entries.tobytes() + bytes(count % 2)
    packed.LUTData = np.frombuffer(content, "<u2").tolist() if vr == "US" else content
    plain.LUTData = entries.astype("<u2").tobytes()
    packed["LUTData"].VR, plain["LUTData"].VR = vr, "OW"

    shown, expected = (
        to_display(read_pixels(write_instance(VALUES, VOILUTSequence=[item])))
        for item in (packed, plain)
    )

    np.testing.assert_array_equal(shown, expected)
    assert shown.max() > 50_000


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("bits", [8, 12])
def test_table_of_a_big_endian_file_is_that_of_a_little_endian_one(
    tmp_path: Path, keyword: str, bits: int
) -> None:
    item = table(0, bits)
    if bits == 8:
        item.LUTData = np.frombuffer(item.LUTData, "<u2").astype(np.uint8).tobytes()
    dataset = mammogram(VALUES, **{keyword: [item]})
    little = to_display(read_pixels(save(dataset, tmp_path / "a.dcm")))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = VALUES.byteswap().tobytes()
    item.LUTData = np.frombuffer(item.LUTData, np.uint16).byteswap().tobytes()

    big = to_display(read_pixels(save(dataset, tmp_path / "b.dcm")))

    np.testing.assert_array_equal(big, little)


@pytest.mark.parametrize(("declared", "used"), [(16, 12), (16, 8), (12, 10), (14, 12)])
def test_table_that_uses_fewer_bits_than_it_declares_is_not_dark(
    write_instance: WriteInstance, declared: int, used: int
) -> None:
    understated = table(0, used)
    understated.LUTDescriptor[2] = declared

    shown, expected = (
        to_display(read_pixels(write_instance(VALUES, VOILUTSequence=[item])))
        for item in (understated, table(0, used))
    )

    np.testing.assert_array_equal(shown, expected)


def test_modality_table_goes_before_the_window(write_instance: WriteInstance) -> None:
    path = write_instance(
        VALUES, ModalityLUTSequence=[table(0, 16)], WindowCenter=20000, WindowWidth=30000
    )

    shown = to_display(read_pixels(path))

    dataset = pydicom.dcmread(path)
    modality = apply_modality_lut(dataset.pixel_array, dataset).astype(float)
    expected = np.clip((modality - 19999.5) / 29999 + 0.5, 0, 1)
    np.testing.assert_allclose(shown / 65535, expected, atol=2e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ],
)
def test_inverted_image_is_shown_air_dark(
    write_instance: WriteInstance, changes: dict[str, Any]
) -> None:
    shown = to_display(read_pixels(write_instance(4095 - VALUES, **changes)))

    np.testing.assert_array_equal(shown, to_display(read_pixels(write_instance(VALUES))))


@pytest.mark.parametrize(("limit", "gone"), [(None, {4095}), (4000, set(range(4000, 4096)))])
def test_padding_is_air_and_no_measurement(
    write_instance: WriteInstance, limit: int | None, gone: set[int]
) -> None:
    values = VALUES.copy()
    values[:20], values[20:30] = 4095, 4001
    changes = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    path = write_instance(values, PixelPaddingValue=4095, **changes)

    shown = to_display(read_pixels(path))

    assert (shown[np.isin(values, list(gone))] == 0).all()
    assert shown.max() > 50_000


@pytest.mark.parametrize(
    "changes",
    [
        {"WindowCenter": 2048, "WindowWidth": 0},
        {"WindowCenter": 90000, "WindowWidth": 10},
        {"WindowCenter": 2048},
        {"VOILUTSequence": [Dataset()]},
    ],
)
def test_window_that_cannot_be_applied_is_left_out(
    write_instance: WriteInstance, changes: dict[str, Any]
) -> None:
    shown = to_display(read_pixels(write_instance(VALUES, **changes)))

    assert (shown.min(), shown.max()) == (0, 65535)


def with_label(rows: int = 800, columns: int = 640) -> np.ndarray[Any, Any]:
    values = breast(rows, columns) // 2 + 20
    values[40:110, 500:610] = 4000
    return values


def stored(values: np.ndarray[Any, Any], **display: Any) -> StoredImage:
    return StoredImage(
        sop_instance_uid="1.2.3",
        values=values,
        photometric_interpretation="MONOCHROME2",
        display=DisplayHeader(**display),
    )


def test_label_beside_the_breast_is_left_out() -> None:
    crop, (left, top, right, bottom) = clinical_crop(stored(with_label()))

    assert left == 0
    assert right < 500 + 110
    assert crop.shape == (bottom - top, right - left)
    assert crop.max() < 65535 * 0.7


def test_implant_stays_with_its_breast() -> None:
    plain = breast(800, 640) // 4 + 20
    implant = plain.copy()
    row, column = np.mgrid[0:800, 0:640]
    implant[((row - 400) / 200) ** 2 + (column / 180) ** 2 < 1] = 4000

    boxes = [clinical_crop(stored(values))[1] for values in (plain, implant)]

    np.testing.assert_allclose(boxes[0], boxes[1], atol=45)


def test_image_without_air_is_kept_whole() -> None:
    values = np.random.default_rng(0).integers(0, 4000, (300, 200)).astype(np.uint16)

    assert clinical_crop(stored(values))[1] in {(0, 0, 200, 300)}


@settings(max_examples=40, deadline=None)
@given(st.integers(120, 680), st.integers(60, 300), st.booleans())
def test_mark_is_found_in_the_source_within_half_a_pixel(row: int, column: int, flip: bool) -> None:
    values = np.full((800, 480), 10, np.uint16)
    values[40:760, :400] = np.random.default_rng(0).integers(1000, 1100, (720, 400))
    values[row - 9 : row + 9, column - 9 : column + 9] = 4000
    mark = (float(column), float(row))
    if flip:
        values, mark = values[:, ::-1].copy(), (480.0 - column, float(row))

    prepared = prepare(stored(values), BIG)

    rows, columns = np.nonzero(prepared.values > prepared.values.max() - 0.5)
    centre = np.array([[columns.mean() + 0.5, rows.mean() + 0.5]])
    np.testing.assert_allclose(prepared.geometry.to_source(centre)[0], mark, atol=0.5)


BIG = Preprocessing(mode="clinical", rows=1520, columns=912, mean=0.3, std=0.25)


@pytest.mark.parametrize(
    "name",
    [
        "film/RMLO.dcm",
        "film/LCC.dcm",
        "phantom/LMLO.dcm",
        further("four_views/RCC.dcm"),
        further("four_views/LMLO.dcm"),
        further("full_field/LCC.dcm"),
        further("full_field/RCC.dcm"),
        further("MG1_J2KI.dcm"),
        further("open/film_headers_as_published/LCC.dcm"),
    ],
)
def test_breast_is_found(name: str) -> None:
    image = read_pixels(sample(name))
    picture = to_display(image)

    crop, (left, top, right, bottom) = clinical_crop(image)

    assert (right - left) * (bottom - top) > 0.15 * picture.size
    # A film's frame is bright and no part of it.
    assert int(crop.astype(np.int64).sum()) > 0.65 * int(picture.astype(np.int64).sum())
    assert prepare(image, CLINICAL).values.shape == (380, 228)


def test_breast_and_others_do_not_overlap() -> None:
    mask, others = breast_mask(to_display(stored(with_label())))

    assert others.any()
    assert not (mask & others).any()


def box_of(image: StoredImage) -> NDArray[np.int64]:
    return np.array(clinical_crop(image)[1])


@pytest.mark.parametrize("view", ["LCC", "LMLO", "RCC", "RMLO"])
def test_frame_of_a_film_is_not_taken_for_the_breast(view: str) -> None:
    image = read_pixels(FILM / f"{view}.dcm")

    left, top, right, bottom = box_of(image)

    assert (right - left) / image.columns < 0.7
    assert top > 5
    assert bottom < image.rows - 5


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("sides", [4, 3])
@pytest.mark.parametrize("shade", [1.0, 0.8])
def test_drawn_frame_changes_no_side_of_the_box_by_more_than_itself(
    width: int, sides: int, shade: float
) -> None:
    image = read_pixels(FILM / "LCC.dcm")
    plain = box_of(image)
    values = image.values.copy()
    light = int(values.max() * shade)
    values[:width], values[-width:] = light, light
    values[:, -width:] = light
    if sides == 4:
        values[:, :width] = light

    framed = box_of(replace(image, values=values))

    # What the frame covers is gone, and the level between air and skin moves a little.
    assert framed[2] < image.columns * 0.75
    assert np.abs(framed - plain).max() <= 4 * width + 120


def test_breast_that_fills_the_chest_wall_is_no_frame() -> None:
    values = np.zeros((600, 400), np.uint16)
    rows, columns = np.mgrid[:600, :400]
    inside = ((rows - 300) / 330) ** 2 + (columns / 250) ** 2 < 1
    values[inside] = (1500 + 3 * columns + rows)[inside]
    image = StoredImage(
        sop_instance_uid="1", values=values, photometric_interpretation="MONOCHROME2"
    )

    assert box_of(image)[0] == 0
