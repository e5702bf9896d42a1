"""Missing and damaged pictures are named before a long command begins, or left out by wish."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from phantom_bundle import phantom_tables, small_bundle
from PIL import Image

from training.data.boxed_images import read_boxed_images, with_usable_pictures
from training.detection.detector_training import DetectionOrder, train_detector
from training.detection.fitting import DetectionSettings
from training.detection.recipes import detection_recipe
from training.downstream.bundle_calibration import CalibrationOrder, calibrate
from training.downstream.calibration import OperatingTarget
from training.downstream.head_training import HeadOrder, make_head
from training.downstream.labelled_images import read_labelled
from training.downstream.recipes import Training
from training.errors import TableError
from training.evaluation.bundle_evaluation import EvaluationOrder, evaluate
from training.factor.factor_training import FactorOrder, train_factor
from training.learning.presets import Preset

__all__ = ["phantom_tables", "small_bundle"]


@pytest.fixture
def spoilt(phantom_tables: Path, tmp_path: Path) -> Path:
    """Return a copy of the phantoms that may be damaged."""
    return Path(shutil.copytree(phantom_tables, tmp_path / "phantoms"))


def cut_off(data: Path, number: int) -> Path:
    """Cut off a picture in its last part."""
    path = sorted((data / "png").rglob("*.png"))[number]
    path.write_bytes(path.read_bytes()[:-40])
    return path


def head(bundle: Path, data: Path, *, skip: bool, training: Training) -> None:
    make_head(
        HeadOrder(
            bundle=bundle,
            table=data / "finding_annotations.csv",
            images=(data / "png",),
            head="mass",
            training=training,
            out=data / "out",
            skip_unreadable=skip,
        )
    )


def probe(bundle: Path, data: Path, *, skip: bool) -> None:
    head(bundle, data, skip=skip, training=Training.PROBE)


def finetune(bundle: Path, data: Path, *, skip: bool) -> None:
    head(bundle, data, skip=skip, training=Training.FINE_TUNE)


def calibration(bundle: Path, data: Path, *, skip: bool) -> None:
    calibrate(
        CalibrationOrder(
            bundle=bundle,
            table=data / "finding_annotations.csv",
            images=(data / "png",),
            out=data / "out",
            target=OperatingTarget(sensitivity=0.9),
            skip_unreadable=skip,
        )
    )


def detect(bundle: Path, data: Path, *, skip: bool) -> None:
    train_detector(
        DetectionOrder(
            bundle=bundle,
            table=data / "finding_annotations.csv",
            images=(data / "png",),
            out=data / "out",
            finding="mass",
            settings=DetectionSettings(recipe=detection_recipe(Preset.PAPER)),
            skip_unreadable=skip,
        )
    )


def factor(bundle: Path, data: Path, *, skip: bool) -> None:
    train_factor(
        FactorOrder(
            bundle=bundle,
            table=data / "finding_annotations.csv",
            images=(data / "png",),
            out=data / "out",
            skip_unreadable=skip,
        )
    )


def evaluation(bundle: Path, data: Path, *, skip: bool) -> None:
    evaluate(
        EvaluationOrder(
            bundle=bundle,
            vindr=data / "finding_annotations.csv",
            images=(data / "png",),
            out=data / "out",
            only=("zero-shot",),
            repeats=20,
            skip_unreadable=skip,
        )
    )


@pytest.mark.parametrize("run", [probe, finetune, calibration, detect, factor, evaluation])
def test_damaged_picture_is_named_before_anything_is_computed(
    run: Callable[..., None], spoilt: Path, small_bundle: Path
) -> None:
    damaged = cut_off(spoilt, 0)

    with pytest.raises(TableError, match="pictures are missing or damaged") as refused:
        run(small_bundle, spoilt, skip=False)

    assert f"{damaged}: the PNG is cut off" in str(refused.value)
    assert "--skip-unreadable" in str(refused.value)


@pytest.mark.parametrize("run", [probe, calibration, evaluation])
def test_the_rest_is_computed_without_it_by_wish(
    run: Callable[..., None], spoilt: Path, small_bundle: Path
) -> None:
    cut_off(spoilt, 0)
    missing, blank = sorted((spoilt / "png").rglob("*.png"))[1:3]
    missing.unlink()
    Image.new("L", (96, 128)).save(blank)

    run(small_bundle, spoilt, skip=True)

    assert any((spoilt / "out").iterdir())


def test_missing_and_damaged_pictures_are_left_out_of_labels(spoilt: Path) -> None:
    table, folders = spoilt / "finding_annotations.csv", [spoilt / "png"]
    whole = read_labelled(table, folders)
    damaged = cut_off(spoilt, 0)
    missing = whole.files[5]
    missing.unlink()
    said: list[str] = []

    left = read_labelled(table, folders, may_be_missing=True).with_usable_pictures(
        skip=True, say=said.append
    )

    assert set(left.files) == set(whole.files) - {damaged, missing}
    assert f"2 of {len(whole.files)} pictures are left out" in said[0]
    for before, after in ((whole.rows, left.rows), (whole.images, left.images)):
        kept = before[[whole.files[place] in left.files for place in before["image"]]]
        assert [left.files[place] for place in after["image"]] == [
            whole.files[place] for place in kept["image"]
        ]
        assert after["mass"].tolist() == kept["mass"].tolist()


def test_missing_and_damaged_pictures_are_left_out_of_boxes(spoilt: Path) -> None:
    table, folders = spoilt / "finding_annotations.csv", [spoilt / "png"]
    whole = read_boxed_images(table, folders)
    damaged = cut_off(spoilt, 0)
    whole[5].file.unlink()

    left = with_usable_pictures(
        read_boxed_images(table, folders, may_be_missing=True), skip=True, say=lambda words: None
    )

    assert [one.image_id for one in left] == [
        one.image_id for one in whole if one.file not in {damaged, whole[5].file}
    ]
