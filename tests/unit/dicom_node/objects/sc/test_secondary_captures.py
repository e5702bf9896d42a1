"""A picture shows the image, the attention and the outlines where they belong."""

import io

import numpy as np
import pydicom
import pytest
from objects_factory import (
    NEGATIVE,
    breast_pixels,
    bytes_of,
    context_of,
    finding,
    heatmap_of,
    image_of,
    mammogram,
    marker_mask,
    study_of,
)
from pydicom.dataset import Dataset
from sample_images import FILM

from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.drawing.overlay import Placement
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.sc.pixel_encoding import PictureForm
from dicom_node.objects.sc.secondary_capture import build_secondary_capture
from mammoclip_core.findings import Finding, Heatmap


def capture_of(
    dataset: Dataset,
    *findings: Finding,
    heatmaps: tuple[Heatmap, ...] = (),
    long_side: int = 2048,
    style: PictureStyle = PictureStyle.COLOR,
) -> tuple[Dataset, Placement]:
    image = image_of(dataset, *findings)
    built, placement = build_secondary_capture(
        dataset,
        image,
        1,
        context_of(study_of(image)),
        shown=show(dataset, breast_pixels(dataset), long_side),
        heatmaps=heatmaps,
        form=PictureForm(style=style),
    )
    return pydicom.dcmread(io.BytesIO(bytes_of(built))), placement


def tissue_part(dataset: Dataset, capture: Dataset, placement: Placement) -> np.ndarray:
    """Cut the rendered image out of the picture."""
    left, top = placement.column_offset, placement.row_offset
    rows = round(dataset.Rows * placement.row_scale)
    columns = round(dataset.Columns * placement.column_scale)
    return capture.pixel_array[top : top + rows, left : left + columns]


def colored(part: np.ndarray) -> np.ndarray:
    return np.ptp(part.astype(int), axis=2) > 40


@pytest.mark.parametrize("size", [(400, 300), (3000, 2200), (700, 1400)])
@pytest.mark.parametrize("laterality", ["L", "R"])
def test_outline_of_an_asymmetric_marker_lies_where_the_source_has_it(
    size: tuple[int, int], laterality: str
) -> None:
    dataset = mammogram(laterality=laterality, size=size)
    unit = max(size) // 40
    mask = marker_mask(size[1] // 3, size[0] // 2, size, unit)
    capture, placement = capture_of(dataset, finding(mask), long_side=1000)

    part = colored(tissue_part(dataset, capture, placement))

    rows, columns = np.nonzero(mask)
    corners = np.array(
        [
            [columns.min() + 0.5, rows.min() + 0.5],
            [columns.min() + 0.5, rows.max() + 0.5],
            [columns.max() + 0.5, rows.max() + 0.5],
        ]
    ) * [placement.column_scale, placement.row_scale]
    for column, row in corners:
        near = part[int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2]
        assert near.any()
    # The letter L has nothing in its upper right corner.
    inner = (columns.max() - unit // 2) * placement.column_scale
    empty = part[int((rows.min() + unit) * placement.row_scale), int(inner)]
    assert not empty


def test_placement_maps_columns_by_the_scale_of_columns() -> None:
    placement = Placement(column_offset=10, row_offset=20, column_scale=0.5, row_scale=0.25)

    assert placement.to_picture(np.array([[100.0, 40.0]])).tolist() == [[60.0, 30.0]]


def test_color_is_strongest_at_the_peak_of_the_heatmap() -> None:
    dataset = mammogram(size=(2000, 1500))
    mask = marker_mask(260, 1430, (2000, 1500), 10)
    heatmap = heatmap_of(dataset, 700.0, 450.0)
    narrow = Heatmap(
        sop_instance_uid=heatmap.sop_instance_uid,
        frame=1,
        finding="mass",
        values=np.pad(np.ones((1, 1), dtype=np.float32), 2),
        extent=(675.0, 425.0, 725.0, 475.0),
    )
    capture, placement = capture_of(dataset, finding(mask), heatmaps=(narrow,), long_side=800)

    part = tissue_part(dataset, capture, placement).astype(int)

    height = part.shape[0] // 2
    warmth = (part[:height, :, 0] - part[:height, :, 2]).astype(float)
    row, column = (axis.mean() for axis in np.nonzero(warmth >= warmth.max() - 2))
    assert (column + 0.5) / placement.column_scale == pytest.approx(700.0, abs=2.0)
    assert (row + 0.5) / placement.row_scale == pytest.approx(450.0, abs=2.0)


def test_tissue_without_attention_stays_grey() -> None:
    dataset = mammogram()
    capture, placement = capture_of(
        dataset, finding(marker_mask(60, 150)), heatmaps=(heatmap_of(dataset, 70.0, 170.0),)
    )

    part = tissue_part(dataset, capture, placement)

    below = part[280:]
    assert np.ptp(below, axis=2).max() == 0
    assert below.max() > 0


def test_heatmap_of_a_finding_below_threshold_is_not_shown() -> None:
    dataset = mammogram()

    capture, placement = capture_of(dataset, NEGATIVE, heatmaps=(heatmap_of(dataset, 70.0, 170.0),))

    assert not colored(tissue_part(dataset, capture, placement)).any()


def test_findings_without_heatmap_are_outlined() -> None:
    dataset = mammogram()

    capture, placement = capture_of(dataset, finding(marker_mask(60, 150)))

    assert colored(tissue_part(dataset, capture, placement)).any()


def test_text_stands_beside_the_image_and_never_over_it() -> None:
    dataset = mammogram()

    capture, placement = capture_of(dataset, NEGATIVE)

    part = tissue_part(dataset, capture, placement)
    assert np.array_equal(part[:, :, 0] > 0, breast_pixels(dataset) > 0)
    assert capture.Columns > placement.column_offset + dataset.Columns


def test_score_changes_the_picture() -> None:
    first, second = (
        capture_of(mammogram(), finding(marker_mask(60, 150), score=score))[0].PixelData
        for score in (0.83, 0.93)
    )

    assert first != second


@pytest.mark.parametrize(("source", "picture"), [("YES", "YES"), ("NO", "NO"), ("", "NO")])
def test_picture_names_a_patient_only_where_its_source_does(source: str, picture: str) -> None:
    """Burned In Annotation is about patient and date, not about any words (PS3.3 C.7.6.1)."""
    capture, _ = capture_of(mammogram(BurnedInAnnotation=source), NEGATIVE)

    assert capture.BurnedInAnnotation == picture


def test_capture_says_what_it_is() -> None:
    capture, _ = capture_of(mammogram(), finding(marker_mask(60, 150)))

    assert (capture.Modality, capture.ConversionType) == ("OT", "WSD")
    assert list(capture.ImageType) == ["DERIVED", "SECONDARY"]
    assert (capture.BurnedInAnnotation, capture.RecognizableVisualFeatures) == ("NO", "NO")
    assert (capture.ImageLaterality, capture.ViewPosition) == ("L", "MLO")
    assert (capture.PhotometricInterpretation, capture.PlanarConfiguration) == ("RGB", 1)
    assert "PixelSpacing" not in capture
    (source,) = capture.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == mammogram().SOPInstanceUID
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_lossy_source_makes_a_lossy_picture() -> None:
    dataset = mammogram(LossyImageCompression="01", LossyImageCompressionRatio=11.5)

    capture, _ = capture_of(dataset, NEGATIVE)

    assert (capture.LossyImageCompression, capture.LossyImageCompressionRatio) == ("01", 11.5)


def test_senseless_orientation_is_not_copied() -> None:
    capture, _ = capture_of(mammogram(PatientOrientation=["CC", "MLO"]), NEGATIVE)

    assert not capture.PatientOrientation


@pytest.mark.parametrize("view", ["RCC", "LCC", "RMLO", "LMLO"])
def test_real_mammogram_becomes_a_picture(view: str) -> None:
    dataset = pydicom.dcmread(FILM / f"{view}.dcm")
    image = image_of(dataset, finding(marker_mask(300, 900, dataset.pixel_array.shape, 20)))

    capture, placement = build_secondary_capture(
        dataset,
        image,
        1,
        context_of(study_of(image)),
        shown=show(dataset, dataset.pixel_array, 1024),
    )

    assert max(capture.Rows - 250, dataset.Rows * placement.row_scale) <= 1024
    assert capture.pixel_array.mean() > 10


def test_single_color_shows_attention_in_one_hue() -> None:
    dataset = mammogram()
    heatmaps = (heatmap_of(dataset, 70.0, 170.0),)

    capture, placement = capture_of(
        dataset, finding(), heatmaps=heatmaps, style=PictureStyle.SINGLE_COLOR
    )

    part = tissue_part(dataset, capture, placement).astype(int)
    red, _, blue = part[np.ptp(part, axis=2) > 20].T
    assert red.size
    assert (blue > red).all()


def test_grey_picture_has_grey_levels_only() -> None:
    dataset = mammogram()

    capture, placement = capture_of(
        dataset,
        finding(marker_mask(60, 150)),
        heatmaps=(heatmap_of(dataset, 70.0, 170.0),),
        style=PictureStyle.GREY,
    )

    assert capture.PhotometricInterpretation == "MONOCHROME2"
    part = tissue_part(dataset, capture, placement)
    rows, columns = np.nonzero(part > 150)
    assert columns.min() == pytest.approx(60, abs=3)
    assert rows.min() == pytest.approx(150, abs=14)


def test_each_style_is_an_object_of_its_own() -> None:
    dataset = mammogram()

    uids = {
        capture_of(dataset, finding(marker_mask(60, 150)), style=style)[0].SOPInstanceUID
        for style in PictureStyle
    }

    assert len(uids) == len(PictureStyle)
