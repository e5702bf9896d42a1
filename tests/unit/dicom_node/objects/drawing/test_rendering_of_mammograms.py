"""A rendered image looks as it does in a viewer, and a damaged window does not spoil it."""

import numpy as np
import pydicom.pixels
import pytest
from objects_factory import breast_pixels, mammogram
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.drawing.rendering import show

RAMP_SIZE = (64, 64)


def ramp() -> np.ndarray:
    return np.arange(64 * 64, dtype=np.uint16).reshape(RAMP_SIZE)


def ramp_header(**attributes: object) -> Dataset:
    return mammogram(size=RAMP_SIZE, **attributes)


def shown(dataset: Dataset, stored: np.ndarray | None = None) -> np.ndarray:
    return show(dataset, ramp() if stored is None else stored, 2048).pixels


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_is_that_of_pydicom(function: str) -> None:
    dataset = ramp_header(WindowCenter=1800, WindowWidth=1500, VOILUTFunction=function)

    expected = pydicom.pixels.apply_windowing(ramp(), dataset) / 4095 * 255

    # Half a grey level for rounding, and one for the two ways to end the linear ramp.
    assert np.abs(shown(dataset) - expected).max() < 1.5


def test_rescale_comes_before_the_window() -> None:
    dataset = ramp_header(
        RescaleSlope=2, RescaleIntercept=-100, WindowCenter=4000, WindowWidth=4000
    )
    plain = ramp_header(WindowCenter=2050, WindowWidth=2000)

    assert np.abs(shown(dataset).astype(int) - shown(plain)).max() <= 1


def test_table_of_twelve_bits_is_applied() -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 12]
    item.LUTData = (4095 - np.arange(4096)).astype(np.uint16).tobytes()
    item["LUTData"].VR = "OW"

    pixels = shown(ramp_header(VOILUTSequence=[item]))

    assert (pixels[0, 0], pixels[-1, -1]) == (255, 0)


@pytest.mark.parametrize("vr", ["OW", "US"])
def test_table_of_bytes_is_applied(vr: str) -> None:
    entries = (np.arange(4096) // 16).astype("u1").tobytes()
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 8]
    item.LUTData = entries if vr == "OW" else np.frombuffer(entries, "<u2").tolist()
    item["LUTData"].VR = vr

    assert np.array_equal(shown(ramp_header(VOILUTSequence=[item])), ramp() // 16)


def test_table_that_uses_fewer_bits_than_it_says_is_shown_in_full() -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.LUTData = np.arange(4096, dtype="<u2").tobytes()
    item["LUTData"].VR = "OW"

    assert shown(ramp_header(VOILUTSequence=[item])).max() == 255


def test_first_mapped_value_of_signed_pixels_is_signed() -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, 0x10000 - 2048, 12]
    item.LUTData = np.arange(4096, dtype="<u2").tobytes()
    item["LUTData"].VR = "OW"
    header = ramp_header(VOILUTSequence=[item], PixelRepresentation=1)

    pixels = shown(header, (ramp().astype(np.int32) - 2048).astype(np.int16))

    assert np.abs(pixels.astype(int) - ramp() // 16).max() <= 1


def test_table_starts_at_its_first_mapped_value() -> None:
    item = Dataset()
    item.LUTDescriptor = [256, 1000, 8]
    item.LUTData = np.arange(256, dtype=np.uint16).tolist()
    item["LUTData"].VR = "US"

    pixels = shown(ramp_header(VOILUTSequence=[item])).ravel()

    assert (pixels[999], pixels[1000], pixels[1100], pixels[2000]) == (0, 0, 100, 255)


def test_monochrome1_looks_as_monochrome2() -> None:
    dark, light = mammogram(photometric="MONOCHROME1"), mammogram()

    difference = shown(dark, breast_pixels(dark)).astype(int) - shown(light, breast_pixels(light))

    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"without": ("WindowCenter", "WindowWidth")},
        {"WindowWidth": 0},
        {"WindowWidth": -5},
        {"WindowWidth": 1},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 100_000, "WindowWidth": 10},
        {"VOILUTSequence": []},
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_odd_window_still_shows_the_breast(attributes: dict[str, object], photometric: str) -> None:
    dataset = mammogram(photometric=photometric, **attributes)
    stored = breast_pixels(dataset)

    pixels = shown(dataset, stored)

    tissue = breast_pixels(mammogram()) > 0
    assert pixels[tissue].mean() > 80
    assert pixels[~tissue].max() == 0


def test_first_of_several_windows_is_used() -> None:
    several = ramp_header(WindowCenter=[1800, 500], WindowWidth=[1500, 100])

    assert np.array_equal(shown(several), shown(ramp_header(WindowCenter=1800, WindowWidth=1500)))


def test_unknown_window_function_is_taken_as_linear() -> None:
    odd = ramp_header(VOILUTFunction="CUBIC")

    assert np.array_equal(shown(odd), shown(ramp_header()))


def test_padding_is_black_in_either_polarity() -> None:
    dataset = mammogram(photometric="MONOCHROME1", PixelPaddingValue=0)
    stored = breast_pixels(dataset)
    stored[:10] = 0

    assert shown(dataset, stored)[:10].max() == 0


def test_image_of_one_value_is_rendered() -> None:
    assert shown(ramp_header(), np.full(RAMP_SIZE, 7, dtype=np.uint16)).shape == RAMP_SIZE


def test_large_image_is_reduced_with_its_scale() -> None:
    dataset = mammogram(size=(3000, 1500))

    display = show(dataset, breast_pixels(dataset), 1000)

    assert display.pixels.shape == (1000, 500)
    assert (display.row_scale, display.column_scale) == (1 / 3, 1 / 3)


def test_pixels_of_another_image_are_refused() -> None:
    with pytest.raises(ObjectRefusedError, match="Rows and Columns"):
        shown(mammogram())
