"""Compressed pictures decode to the uncompressed one: by RLE exactly, by JPEG nearly."""

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
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.uid import JPEGBaseline8Bit, RLELossless
from sr_reading import read_back

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.products import Profile
from dicom_node.objects.sc.pixel_encoding import Compression, PictureForm

PICTURES = frozenset({ResultKind.SECONDARY_CAPTURE, ResultKind.SUMMARY_SHEET})


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


def test_rle_loses_nothing(style: PictureStyle) -> None:
    plain, packed = pictures(style, Compression.NONE), pictures(style, Compression.RLE)

    assert set(plain) == set(packed) == PICTURES
    for kind in PICTURES:
        assert packed[kind].file_meta.TransferSyntaxUID == RLELossless
        assert packed[kind].LossyImageCompression == "00"
        assert len(packed[kind].PixelData) < len(plain[kind].PixelData)
        assert np.array_equal(pixel_array(packed[kind]), pixel_array(plain[kind]))


def test_jpeg_loses_little_and_says_so(style: PictureStyle) -> None:
    plain, packed = pictures(style, Compression.NONE), pictures(style, Compression.JPEG)

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
