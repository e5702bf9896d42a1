"""Compressed pictures decode to what was drawn: by RLE exactly, by JPEG nearly."""

import numpy as np
import pytest
from objects_factory import (
    finding,
    heatmap_of,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import pixel_array
from pydicom.uid import JPEGBaseline8Bit, RLELossless, SecondaryCaptureImageStorage
from sr_reading import read_back

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.products import Profile
from dicom_node.objects.sc.pixel_encoding import Compression, PictureForm, set_pixels
from dicom_node.objects.sc.rle_frame import rle_frame

PICTURES = frozenset({ResultKind.SECONDARY_CAPTURE, ResultKind.SUMMARY_SHEET})


def with_uids(capture: Dataset) -> Dataset:
    """Name an object so that it can be written."""
    capture.SOPClassUID, capture.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    return capture


def pictures(style: PictureStyle, compression: Compression) -> dict[ResultKind, Dataset]:
    dataset = mammogram()
    form = PictureForm(style=style, compression=compression)
    results = results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))),
        heatmaps=(heatmap_of(dataset, 70.0, 170.0),),
        profiles=(Profile(objects=PICTURES, form=form),),
    )
    return {one.kind: read_back(one.dataset) for one in results}


@pytest.fixture(params=PictureStyle)
def style(request: pytest.FixtureRequest) -> PictureStyle:
    return request.param


SHAPES = ((1, 1), (1, 1, 3), (3, 5), (7, 129, 3), (64, 300), (5, 4096, 3))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("plugin", ["pydicom", "pylibjpeg"])
@pytest.mark.parametrize("levels", [1, 2, 256])
def test_rle_loses_nothing(shape: tuple[int, ...], plugin: str, levels: int) -> None:
    pixels = np.random.default_rng(7).integers(0, levels, shape, dtype=np.uint8)
    capture = Dataset()
    capture.file_meta = FileMetaDataset()
    drawn = np.ascontiguousarray(np.broadcast_to(np.atleast_3d(pixels), (*shape[:2], 3)))
    style = PictureStyle.GREY if pixels.ndim == 2 else PictureStyle.COLOR

    set_pixels(capture, drawn, PictureForm(style=style), [])

    capture = read_back(with_uids(capture))
    assert capture.file_meta.TransferSyntaxUID == RLELossless
    assert capture.LossyImageCompression == "00"
    assert np.array_equal(pixel_array(capture, decoding_plugin=plugin), pixels)


def test_each_row_is_encoded_by_itself() -> None:
    # PS3.5 G.3.1: a run that went on in the next row would be shorter than two of one row.
    frame = rle_frame(np.zeros((2, 5), dtype=np.uint8))

    assert frame[64:] == bytes([0xFC, 0]) * 2


def test_picture_is_kept_compressed_for_every_form_without_losses(style: PictureStyle) -> None:
    plain, packed = pictures(style, Compression.NONE), pictures(style, Compression.RLE)

    assert set(plain) == set(packed) == PICTURES
    for kind in PICTURES:
        assert packed[kind].file_meta.TransferSyntaxUID == RLELossless
        assert packed[kind].SOPInstanceUID == plain[kind].SOPInstanceUID
        assert packed[kind].PixelData == plain[kind].PixelData


def test_jpeg_loses_little_and_says_so(style: PictureStyle) -> None:
    plain, packed = pictures(style, Compression.RLE), pictures(style, Compression.JPEG)

    for kind in PICTURES:
        assert packed[kind].file_meta.TransferSyntaxUID == JPEGBaseline8Bit
        assert packed[kind].LossyImageCompression == "01"
        assert packed[kind].LossyImageCompressionRatio > 3
        before = pixel_array(plain[kind]).astype(int)
        after = pixel_array(packed[kind]).astype(int)
        assert after.shape == before.shape
        difference = np.abs(after - before)
        assert difference.mean() < 3
        # Thin coloured lines lose most: half of the columns of colour are kept.
        assert np.percentile(difference, 99) < 60
