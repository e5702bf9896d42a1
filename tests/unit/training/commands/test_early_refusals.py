"""What a command can refuse at once, it refuses before it reads pictures or computes."""

from pathlib import Path

import pytest
from phantom_bundle import phantom_tables, small_bundle

from mammoclip_core.errors import BundleError
from training.downstream.bundle_calibration import CalibrationOrder, calibrate
from training.downstream.calibration import OperatingTarget
from training.downstream.head_calibration import calibrate_head
from training.downstream.head_training import HEAD_NAME, HeadOrder, make_head
from training.downstream.labelled_images import LabelledImages
from training.downstream.recipes import Training
from training.errors import SettingsError
from training.evaluation.bundle_evaluation import EvaluationOrder, evaluate
from training.evaluation.comparison import ComparisonData, ComparisonOrder, compare

__all__ = ["phantom_tables", "small_bundle"]


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("it has begun")


def calibration(tables: Path, bundle: Path, out: Path, **further: object) -> CalibrationOrder:
    given: dict[str, object] = {"target": OperatingTarget(sensitivity=0.9), **further}
    return CalibrationOrder(
        bundle=bundle,
        table=tables / "finding_annotations.csv",
        images=(tables / "png",),
        out=out,
        **given,  # type: ignore[arg-type]
    )


def without_masses(self: LabelledImages, **_: object) -> LabelledImages:
    self.images["mass"] = 0
    return self


@pytest.mark.parametrize(
    "case",
    [
        (fault, of)
        for fault in ("no target", "no positive", "no folder")
        for of in ("bundle", "head")
    ],
)
def test_calibration_is_refused_before_an_image_is_encoded(
    case: tuple[str, str],
    phantom_tables: Path,
    small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault, of = case
    order = calibration(phantom_tables, small_bundle, tmp_path / "out", findings=("mass",))
    if of == "head":
        make_head(
            HeadOrder(
                bundle=small_bundle,
                table=order.table,
                images=order.images,
                head="mass",
                training=Training.PROBE,
                epochs=1,
                out=tmp_path / "probe",
            )
        )
    if fault == "no target":
        order = calibration(
            phantom_tables, small_bundle, tmp_path / "out", findings=("mass",), target=None
        )
    elif fault == "no folder":
        (tmp_path / "file").touch()
        order = calibration(phantom_tables, small_bundle, tmp_path / "file/out", findings=("mass",))
    else:
        monkeypatch.setattr(LabelledImages, "with_usable_pictures", without_masses)
    monkeypatch.setattr("training.downstream.bundle_calibration.bundle_scores", refuse)
    monkeypatch.setattr("training.downstream.head_calibration._answers", refuse)

    with pytest.raises((SettingsError, OSError), match=r"target|positive|file"):
        if of == "head":
            calibrate_head(order, tmp_path / "probe" / HEAD_NAME)
        else:
            calibrate(order)


@pytest.mark.parametrize("fault", ["part", "bundle", "beside", "out"])
def test_evaluation_is_refused_before_a_picture_is_read(
    fault: str,
    phantom_tables: Path,
    small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LabelledImages, "with_usable_pictures", refuse)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    order = EvaluationOrder(
        bundle=tmp_path / "empty" if fault == "bundle" else small_bundle,
        vindr=phantom_tables / "finding_annotations.csv",
        images=(phantom_tables / "png",),
        out=tmp_path / ("file/out" if fault == "out" else "out"),
        only=("fine-tune",) if fault == "part" else (),
        beside={"other": tmp_path / "empty"} if fault == "beside" else {},
    )

    with pytest.raises((SettingsError, BundleError, OSError), match=r"fine-tune|empty|file"):
        evaluate(order)


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("--model.local_wieght 1", "other: .*local_wieght"),
        ("--model.local_weight many", "other: .*local_weight"),
        ("--model.local_weight '1", "other: No closing quotation"),
    ],
)
def test_way_that_pretraining_would_refuse_is_refused_before_the_baseline(
    way: str,
    said: str,
    phantom_tables: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.evaluation.comparison._require_apart", refuse)
    data = ComparisonData(
        reports=phantom_tables / "image_text.csv",
        findings=phantom_tables / "finding_annotations.csv",
        images=(phantom_tables / "png",),
    )

    with pytest.raises(SettingsError, match=said):
        compare(
            ComparisonOrder(
                data=data,
                ways={"other": way},
                settings="--config tiny",
                tokenizer=tmp_path,
                out=tmp_path / "out",
            )
        )


@pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:torch")  # not ours
def test_usable_ways_come_to_the_data(
    phantom_tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluation.comparison._require_apart", refuse)
    data = ComparisonData(
        reports=phantom_tables / "image_text.csv",
        findings=phantom_tables / "finding_annotations.csv",
        images=(phantom_tables / "png",),
    )

    with pytest.raises(AssertionError, match="it has begun"):
        compare(
            ComparisonOrder(
                data=data,
                ways={"other": "--model.local_weight 1"},
                settings="--config tiny --trainer.max_epochs 1",
                tokenizer=tmp_path,
                out=tmp_path / "out",
            )
        )
