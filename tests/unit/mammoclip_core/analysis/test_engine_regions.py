"""Regions and heatmaps lie in source pixels, where the model looked."""

import numpy as np
import pytest
from core_factory import StandInModel, WriteInstance, breast, manifest_with, pair
from engine_factory import analysis_of, marked
from numpy.typing import NDArray

from mammoclip_core.analysis.engine import Prediction
from mammoclip_core.analysis.interpretation import on_extent
from mammoclip_core.findings import LocalisationMethod
from mammoclip_core.images.preprocessing import CropGeometry


@pytest.mark.parametrize(
    ("size", "mark"),
    [((400, 300), (90, 250)), ((600, 260), (60, 180)), ((300, 420), (200, 110))],
)
@pytest.mark.parametrize("is_right", [False, True], ids=["left", "right"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_region_lies_on_the_mark_in_the_source(
    write_instance: WriteInstance,
    size: tuple[int, int],
    mark: tuple[int, int],
    is_right: bool,
    photometric: str,
) -> None:
    values = marked(*size, mark)
    column, row = mark
    if is_right:
        values, column = values[:, ::-1].copy(), size[1] - column
    if photometric == "MONOCHROME1":
        values = 4095 - values
    path = write_instance(values, PhotometricInterpretation=photometric)

    (image,) = analysis_of(path).findings.images

    (region,) = image.findings[0].regions
    left, top, right, bottom = region.box
    assert (left + right) / 2 == pytest.approx(column, abs=3)
    assert (top + bottom) / 2 == pytest.approx(row, abs=3)


def test_heatmap_covers_the_crop_in_source_pixels(write_instance: WriteInstance) -> None:
    values = np.zeros((300, 400), np.uint16)
    values[30:270, 60:200] = breast(240, 140) + np.random.default_rng(0).integers(
        800, 1200, (240, 140)
    )

    (heatmap,) = analysis_of(write_instance(values)).heatmaps

    assert heatmap.extent == (60.0, 30.0, 200.0, 270.0)
    assert heatmap.values.shape == (190, 114)


def test_image_without_positive_findings_shows_the_highest_one(
    write_instance: WriteInstance,
) -> None:
    manifest = manifest_with(pair("mass"), pair("malignancy"))
    model = StandInModel(manifest, scores={"mass": 0.2, "malignancy": 0.3})

    heatmaps = analysis_of(write_instance(breast()), model=model).heatmaps

    assert [heatmap.finding for heatmap in heatmaps] == ["malignancy"]


def test_every_positive_finding_has_its_heatmap(write_instance: WriteInstance) -> None:
    manifest = manifest_with(pair("mass"), pair("malignancy"), pair("other"))
    model = StandInModel(manifest, scores={"mass": 0.7, "malignancy": 0.6, "other": 0.1})

    heatmaps = analysis_of(write_instance(breast()), model=model).heatmaps

    assert [heatmap.finding for heatmap in heatmaps] == ["mass", "malignancy"]


def test_finding_without_activation_is_not_localised(write_instance: WriteInstance) -> None:
    class BlindModel(StandInModel):
        def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
            return [Prediction(scores=self.scores) for _ in batch]

    analysis = analysis_of(write_instance(breast()), model=BlindModel(manifest_with()))

    assert analysis.findings.images[0].findings[0].method is LocalisationMethod.NONE
    assert analysis.heatmaps == ()


def test_activation_over_joined_parts_is_empty_between_them() -> None:
    geometry = CropGeometry(
        column_runs=((10, 30), (50, 70)), row_runs=((0, 40),), input_columns=40, input_rows=40
    )

    spread = on_extent(np.ones((4, 4), np.float32), geometry)

    assert spread.shape == (40, 60)
    assert spread[:, :20].all()
    assert not spread[:, 20:40].any()
    assert spread[:, 40:].all()
