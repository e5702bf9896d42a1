"""``--into``: a bundle that cannot be written is refused first, and loses no training later."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from phantom_bundle import phantom_tables, small_bundle

from mammoclip_core.errors import BundleError, CheckpointError
from mammoclip_core.manifest import read_manifest
from training.bundles import bundle_copy
from training.detection.detector_training import DetectionOrder, train_detector
from training.detection.fitting import DetectionSettings
from training.detection.recipes import detection_recipe
from training.downstream.head_training import HeadOrder, make_head
from training.downstream.recipes import Training
from training.factor.factor_training import FactorOrder, train_factor
from training.factor.fitting import FactorSettings
from training.learning.presets import Preset
from training.learning.run_state import RunState

__all__ = ["phantom_tables", "small_bundle"]


def of_phantoms(tables: Path) -> dict[str, object]:
    return {"table": tables / "finding_annotations.csv", "images": (tables / "png",)}


def head(training: Training, bundle: Path, tables: Path, out: Path, into: Path) -> None:
    make_head(
        HeadOrder(
            bundle=bundle,
            head="mass",
            training=training,
            epochs=1,
            out=out,
            into=into,
            **of_phantoms(tables),  # type: ignore[arg-type]
        )
    )


def probe(bundle: Path, tables: Path, out: Path, into: Path) -> None:
    head(Training.PROBE, bundle, tables, out, into)


def finetune(bundle: Path, tables: Path, out: Path, into: Path) -> None:
    head(Training.FINE_TUNE, bundle, tables, out, into)


def detect(bundle: Path, tables: Path, out: Path, into: Path) -> None:
    recipe = replace(detection_recipe(Preset.PAPER), epochs=1)
    train_detector(
        DetectionOrder(
            bundle=bundle,
            finding="mass",
            settings=DetectionSettings(recipe=recipe),
            out=out,
            into=into,
            **of_phantoms(tables),  # type: ignore[arg-type]
        )
    )


def factor(bundle: Path, tables: Path, out: Path, into: Path) -> None:
    train_factor(
        FactorOrder(
            bundle=bundle,
            settings=FactorSettings(epochs=1, with_clean=True),
            out=out,
            into=into,
            **of_phantoms(tables),  # type: ignore[arg-type]
        )
    )


Run = Callable[[Path, Path, Path, Path], None]
RUNS = [probe, finetune, detect, factor]
KEPT = [
    finetune,
    pytest.param(detect, marks=pytest.mark.long),
    pytest.param(factor, marks=pytest.mark.long),
]


def refuse_to_train(*_: object, **__: object) -> None:
    raise AssertionError("it has begun to train")


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a training begins."""
    monkeypatch.setattr("training.downstream.head_training.RunState", refuse_to_train)
    monkeypatch.setattr("training.detection.detector_training.RunState", refuse_to_train)
    monkeypatch.setattr("training.factor.factor_training._fitted", refuse_to_train)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("run", RUNS)
def test_folder_that_is_not_empty_is_refused_before_training(
    run: Run, phantom_tables: Path, small_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "mine").touch()

    with pytest.raises(BundleError, match="into is not empty"):
        run(small_bundle, phantom_tables, tmp_path / "out", tmp_path / "into")


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("out", ["both", "both/out"])
def test_folder_that_results_are_written_into_is_refused_before_training(
    run: Run, out: str, phantom_tables: Path, small_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="both will not be empty"):
        run(small_bundle, phantom_tables, tmp_path / out, tmp_path / "both")


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("kind", ["out", "into"])
def test_place_that_takes_no_folder_is_refused_before_training(
    run: Run, kind: str, phantom_tables: Path, small_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    places = {"out": tmp_path / "out", "into": tmp_path / "into"}
    places[kind] = tmp_path / "file" / kind

    with pytest.raises(OSError, match="file"):
        run(small_bundle, phantom_tables, places["out"], places["into"])


@pytest.mark.parametrize("run", KEPT)
def test_training_is_kept_where_its_bundle_finds_no_room(
    run: Run,
    phantom_tables: Path,
    small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[int] = []
    keep = RunState.keep

    def counting(self: RunState, *given: object, **further: object) -> None:
        kept.append(1)
        keep(self, *given, **further)  # type: ignore[arg-type]

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "into")

    monkeypatch.setattr(RunState, "keep", counting)
    order = (small_bundle, phantom_tables, tmp_path / "out", tmp_path / "into")
    with monkeypatch.context() as patch:
        patch.setattr(bundle_copy, "write_bundle", full)
        with pytest.raises(OSError, match="No space left"):
            run(*order)
    trained = len(kept)
    left = {path.name for path in (tmp_path / "out").rglob("*unfinished*")}

    run(*order)

    assert trained
    assert left
    assert len(kept) == trained
    assert read_manifest(tmp_path / "into").name
    assert not list((tmp_path / "out").rglob("*unfinished*"))


@pytest.mark.long
def test_second_detector_of_a_finding_is_refused_before_training(
    phantom_tables: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect(small_bundle, phantom_tables, tmp_path / "first", tmp_path / "with-detector")
    monkeypatch.setattr("training.detection.detector_training.RunState", refuse_to_train)

    with pytest.raises(CheckpointError, match="has a detector of mass already"):
        detect(tmp_path / "with-detector", phantom_tables, tmp_path / "out", tmp_path / "into")
