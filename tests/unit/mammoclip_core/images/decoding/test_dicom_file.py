import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from core_factory import WriteInstance, breast, encapsulated, mammogram, save
from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from sample_images import further, sample

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding import data_set
from mammoclip_core.images.decoding.data_set import is_dicom_file
from mammoclip_core.images.decoding.dicom_file import read_header, read_pixels

IMAGE = breast(90, 74, seed=1)
SIGNED = IMAGE.astype(np.int16) - 2048
Encode = Callable[[Any], Any]


def lossless_jpeg(values: NDArray[Any]) -> bytes:
    return imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=12, predictor=1)


def jpeg_2000(values: NDArray[Any]) -> bytes:
    return imagecodecs.jpeg2k_encode(
        values, codecformat="j2k", reversible=True, level=0, bitspersample=12
    )


LOSSLESS: dict[str, Encode] = {
    JPEGLossless: lossless_jpeg,
    JPEGLosslessSV1: lossless_jpeg,
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEG2000Lossless: jpeg_2000,
    JPEG2000: jpeg_2000,
    HTJ2KLossless: imagecodecs.htj2k_encode,
    HTJ2K: imagecodecs.htj2k_encode,
}
LOSSY: dict[str, tuple[Encode, int]] = {
    JPEGExtended12Bit: (lambda x: imagecodecs.jpeg8_encode(x, level=98, bitspersample=12), 24),
    JPEGLSNearLossless: (lambda x: imagecodecs.jpegls_encode(x, level=3), 3),
    JPEG2000: (lambda x: imagecodecs.jpeg2k_encode(x, codecformat="j2k", level=90), 24),
}


def compressed(path: Path, transfer_syntax: str, *frames: bytes, **attributes: Any) -> Path:
    return encapsulated(path, IMAGE, transfer_syntax, *frames, **attributes)


@pytest.mark.parametrize("transfer_syntax", LOSSLESS, ids=lambda uid: uid.name)
def test_lossless_frame_is_read_to_the_bit(tmp_path: Path, transfer_syntax: str) -> None:
    frame = LOSSLESS[transfer_syntax](IMAGE)

    stored = read_pixels(compressed(tmp_path / "a.dcm", transfer_syntax, frame))

    np.testing.assert_array_equal(stored.values, IMAGE)


@pytest.mark.parametrize("transfer_syntax", LOSSY, ids=lambda uid: uid.name)
def test_lossy_frame_is_read_within_its_loss(tmp_path: Path, transfer_syntax: str) -> None:
    encode, tolerance = LOSSY[transfer_syntax]

    stored = read_pixels(compressed(tmp_path / "a.dcm", transfer_syntax, encode(IMAGE)))

    assert np.abs(stored.values.astype(int) - IMAGE).max() <= tolerance


def test_baseline_frame_of_8_bits_is_read(tmp_path: Path) -> None:
    values = (IMAGE >> 4).astype(np.uint8)
    frame = imagecodecs.jpeg8_encode(values, level=98)
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}

    stored = read_pixels(compressed(tmp_path / "a.dcm", JPEGBaseline8Bit, frame, **eight))

    assert stored.values.dtype == np.uint8
    assert np.abs(stored.values.astype(int) - values).max() <= 6


@pytest.mark.parametrize(
    "transfer_syntax",
    [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian],
    ids=lambda uid: uid.name,
)
@pytest.mark.parametrize("values", [IMAGE, SIGNED], ids=["unsigned", "signed"])
def test_uncompressed_frame_is_read_to_the_bit(
    tmp_path: Path, transfer_syntax: str, values: NDArray[Any]
) -> None:
    dataset = mammogram(values)
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    if transfer_syntax == ExplicitVRBigEndian:
        dataset.PixelData = values.byteswap().tobytes()
        dataset["PixelData"].VR = "OW"

    stored = read_pixels(save(dataset, tmp_path / "a.dcm"))

    np.testing.assert_array_equal(stored.values, values)


def test_big_endian_words_of_two_pixels_are_swapped(tmp_path: Path) -> None:
    values = (IMAGE >> 4).astype(np.uint8)
    dataset = mammogram(values)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = values.view(np.uint16).byteswap().tobytes()
    dataset["PixelData"].VR = "OW"

    stored = read_pixels(save(dataset, tmp_path / "a.dcm"))

    np.testing.assert_array_equal(stored.values, values)


def test_run_length_frame_is_read_to_the_bit(tmp_path: Path) -> None:
    dataset = mammogram(IMAGE)
    dataset.compress(RLELossless, encoding_plugin="pydicom")

    stored = read_pixels(save(dataset, tmp_path / "a.dcm"))

    np.testing.assert_array_equal(stored.values, IMAGE)


@pytest.mark.parametrize("transfer_syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_signed_values_keep_their_sign(tmp_path: Path, transfer_syntax: str) -> None:
    twelve_bits = (SIGNED.view(np.uint16) & 0x0FFF).astype(np.uint16)
    frame = LOSSLESS[transfer_syntax](twelve_bits)

    stored = read_pixels(
        compressed(tmp_path / "a.dcm", transfer_syntax, frame, PixelRepresentation=1)
    )

    np.testing.assert_array_equal(stored.values, SIGNED)


def test_signed_codestream_keeps_its_sign(tmp_path: Path) -> None:
    frame = imagecodecs.jpeg2k_encode(SIGNED, codecformat="j2k", reversible=True, level=0)

    stored = read_pixels(
        compressed(tmp_path / "a.dcm", JPEG2000Lossless, frame, PixelRepresentation=1)
    )

    np.testing.assert_array_equal(stored.values, SIGNED)


def test_bits_above_bits_stored_are_removed(write_instance: WriteInstance) -> None:
    stored = read_pixels(write_instance(IMAGE | 0xA000))

    np.testing.assert_array_equal(stored.values, IMAGE)


def test_left_aligned_bits_are_moved_down(write_instance: WriteInstance) -> None:
    stored = read_pixels(write_instance(IMAGE << 4, HighBit=15))

    np.testing.assert_array_equal(stored.values, IMAGE)


@pytest.mark.parametrize("tool", ["dcmcjpeg +e1", "dcmcjpls", "dcmcrle"])
def test_files_of_another_encoder_are_read_to_the_bit(
    write_instance: WriteInstance, tmp_path: Path, tool: str
) -> None:
    command = tool.split()
    if shutil.which(command[0]) is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("dcmtk is not installed")
    target = tmp_path / "compressed.dcm"
    subprocess.run([*command, str(write_instance(IMAGE)), str(target)], check=True)

    stored = read_pixels(target)

    np.testing.assert_array_equal(stored.values, IMAGE)


def test_frame_is_chosen_by_its_number(tmp_path: Path) -> None:
    frames = [lossless_jpeg(IMAGE), lossless_jpeg(IMAGE[::-1].copy())]
    path = compressed(tmp_path / "a.dcm", JPEGLosslessSV1, *frames, NumberOfFrames=2)

    stored = read_pixels(path, frame=2)

    np.testing.assert_array_equal(stored.values, IMAGE[::-1])
    assert (stored.frame, stored.number_of_frames) == (2, 2)


def test_uncompressed_frame_is_chosen_by_its_number(write_instance: WriteInstance) -> None:
    path = write_instance(np.stack([IMAGE, IMAGE[::-1]]), NumberOfFrames=2)

    np.testing.assert_array_equal(read_pixels(path, frame=2).values, IMAGE[::-1])


def test_rescale_is_handed_on(write_instance: WriteInstance) -> None:
    stored = read_pixels(write_instance(IMAGE, RescaleSlope="0.5", RescaleIntercept="-7"))

    assert (stored.rescale_slope, stored.rescale_intercept) == (0.5, -7.0)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"PixelData": None}, "no Pixel Data"),
        ({"Rows": None}, "Rows is missing"),
        ({"BitsAllocated": None}, "BitsAllocated is missing"),
        ({"BitsAllocated": 32}, "32"),
        ({"BitsStored": 17}, "17 bits"),
        ({"BitsStored": 0}, "0 bits"),
        ({"SamplesPerPixel": 3}, "3 samples"),
        ({"PhotometricInterpretation": "RGB"}, "Photometric"),
        ({"PhotometricInterpretation": None}, "Photometric"),
        ({"Rows": 63}, "too few"),
        ({"Columns": 1}, "too few"),
        ({"Rows": 60000, "Columns": 60000}, "too many"),
        ({"Rows": [90, 90]}, "Rows is not a number"),
        ({"Rows": 91}, "truncated"),
        ({"PixelData": IMAGE.tobytes()[:-500]}, "truncated"),
        ({"PixelData": b""}, "no Pixel Data"),
    ],
)
def test_header_that_cannot_be_right_is_refused(
    write_instance: WriteInstance, attributes: dict[str, Any], reason: str
) -> None:
    path = write_instance(IMAGE, **attributes)

    with pytest.raises(PixelError, match=reason) as caught:
        read_pixels(path)

    assert "1.2.826.0.1.3680043.8.498.1" in str(caught.value)


@pytest.mark.parametrize("frame", [0, 2, -1])
def test_frame_that_does_not_exist_is_refused(write_instance: WriteInstance, frame: int) -> None:
    with pytest.raises(PixelError, match="does not exist"):
        read_pixels(write_instance(IMAGE), frame=frame)


def test_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.dcm", "1.2.840.10008.1.2.4.102", b"\0\0\0\1")

    with pytest.raises(PixelError, match="not supported"):
        read_pixels(path)


def test_codestream_of_another_size_is_refused_before_decoding(tmp_path: Path) -> None:
    frame = bytearray(jpeg_2000(IMAGE))
    struct.pack_into(">II", frame, 8, 65_000, 65_000)

    with pytest.raises(PixelError, match="65000 x 65000"):
        read_pixels(compressed(tmp_path / "a.dcm", JPEG2000Lossless, bytes(frame)))


@pytest.mark.parametrize("transfer_syntax", LOSSLESS, ids=lambda uid: uid.name)
def test_truncated_frame_is_refused(tmp_path: Path, transfer_syntax: str) -> None:
    frame = LOSSLESS[transfer_syntax](IMAGE)[:-400]

    with pytest.raises(PixelError, match="truncated"):
        read_pixels(compressed(tmp_path / "a.dcm", transfer_syntax, frame))


@pytest.mark.parametrize("transfer_syntax", LOSSLESS, ids=lambda uid: uid.name)
def test_damaged_frame_gives_pixels_or_a_pixel_error(tmp_path: Path, transfer_syntax: str) -> None:
    generator = np.random.default_rng(0)
    intact = LOSSLESS[transfer_syntax](IMAGE)

    for number in range(40):
        frame = bytearray(intact)
        for position in generator.integers(0, 120 if number % 2 else len(frame), 4):
            frame[position] = int(generator.integers(256))
        try:
            read_pixels(compressed(tmp_path / "a.dcm", transfer_syntax, bytes(frame)))
        except PixelError:
            continue


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_file_gives_pixels_or_a_pixel_error(write_instance: WriteInstance) -> None:
    path = write_instance(IMAGE)
    intact = path.read_bytes()
    generator = np.random.default_rng(0)

    for number in range(200):
        content = bytearray(intact)
        if number % 4 == 0:
            content = content[: int(generator.integers(len(content)))]
        for position in generator.integers(128, 900, 3):
            if position < len(content):
                content[position] = int(generator.integers(256))
        path.write_bytes(content)
        try:
            read_pixels(path)
        except PixelError:
            continue


@pytest.mark.parametrize("content", [b"", b"not DICOM", b"\0" * 128 + b"DICM"])
def test_what_is_no_dicom_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(content)

    with pytest.raises(PixelError):
        read_pixels(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PixelError, match="FileNotFoundError"):
        read_pixels(tmp_path / "none.dcm")


def test_deflated_file_that_grows_without_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = mammogram(IMAGE)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(dataset, tmp_path / "a.dcm")
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = compressor.compress(bytes(3_000_000)) + compressor.flush()
    meta_length = 144 + int(pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength)
    path.write_bytes(path.read_bytes()[:meta_length] + bomb)
    monkeypatch.setattr(data_set, "MAX_INFLATED_BYTES", 1_000_000)

    with pytest.raises(PixelError, match="larger than"):
        read_pixels(path)


def test_error_tells_no_patient_data(write_instance: WriteInstance) -> None:
    path = write_instance(IMAGE, Rows=91, PatientName="Secret^Person", PatientID="SECRET-7")

    with pytest.raises(PixelError) as caught:
        read_pixels(path)

    assert "secret" not in str(caught.value).lower()


def test_header_names_instance_and_view(write_instance: WriteInstance) -> None:
    path = write_instance(IMAGE, PresentationIntentType="FOR PROCESSING")

    header = read_header(path)

    assert (header.laterality, header.view_position) == ("L", "MLO")
    assert header.presentation_intent == "FOR PROCESSING"
    assert header.is_image


def test_object_without_rows_needs_no_study(write_instance: WriteInstance) -> None:
    """A DICOMDIR beside the images has none."""
    path = write_instance(IMAGE, Rows=None, StudyInstanceUID=None)

    assert not read_header(path).is_image


def test_file_is_known_by_its_preamble(write_instance: WriteInstance, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("DICM")

    assert is_dicom_file(write_instance(IMAGE))
    assert not is_dicom_file(other)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("film/RCC.dcm", (2344, 1296)),
        ("film/LMLO.dcm", (2340, 1288)),
        ("phantom/LCC.dcm", None),
        further("four_views/RCC.dcm", None),
        further("full_field/LCC.dcm", (3328, 2560)),
        further("MG1_J2KI.dcm", (4664, 3064)),
        further("open/synthetic/phantom_CC.dcm", (1500, 2000)),
    ],
)
def test_mammogram_agrees_with_pydicom(name: str, size: tuple[int, int] | None) -> None:
    stored = read_pixels(sample(name))

    expected = pydicom.dcmread(sample(name)).pixel_array
    assert size in {None, (stored.rows, stored.columns)}
    assert np.abs(stored.values.astype(int) - expected).max() <= (1 if "MG1" in name else 0)


def test_contradiction_of_the_header_is_remarked(write_instance: WriteInstance) -> None:
    stored = read_pixels(write_instance(IMAGE, ImageLaterality="L", ViewPosition="RMLO"))

    assert "View Position RMLO is of breast R, the laterality says L" in stored.remark
