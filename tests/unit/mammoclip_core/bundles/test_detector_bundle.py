"""A detector from its file through the bundle to regions on the source image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_factory import (
    classifier_state,
    pretraining_state,
    tokenizer,
    vocabulary_size,
    write_classifier,
    write_pretraining,
)
from core_factory import WriteInstance, breast
from published_detector import write_detector

from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
from mammoclip_core.engines.choice import load_engine
from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.errors import CheckpointError
from mammoclip_core.findings import FindingSource, LocalisationMethod
from mammoclip_core.images.detector_input import box_regions
from mammoclip_core.images.preprocessing import CropGeometry, PreparedImage
from mammoclip_core.manifest import Manifest, read_manifest
from mammoclip_core.prediction import DetectedBox
from mammoclip_core.published.convert import convert

UID = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def convert_with(**options: Any) -> Manifest:
        words = tokenizer(tmp_path / "words")
        checkpoint = write_pretraining(
            tmp_path / "checkpoint.tar", pretraining_state(vocabulary_size(words))
        )
        return convert(checkpoint, str(words), tmp_path / "bundle", **options)

    return convert_with


def mass_of(bundle: Path, path: Path) -> Any:
    image = ImageToAnalyse(sop_instance_uid=UID, path=path)
    request = StudyRequest(study_instance_uid="1.2", images=(image,))
    (found,) = load_engine(bundle, engine=EngineName.TORCH).analyze(request).findings.images
    return next(item for item in found.findings if item.name == "mass")


def test_boxes_become_regions_of_the_source(
    run: Any, tmp_path: Path, write_instance: WriteInstance
) -> None:
    run(detectors={"mass": write_detector(tmp_path / "mass.pth")})

    mass = mass_of(tmp_path / "bundle", write_instance(breast(300, 200)))

    assert (mass.source, mass.method) == (FindingSource.DETECTOR, LocalisationMethod.BOX)
    assert (mass.head, mass.encoder, mass.above_threshold) == ("mass", "mass", True)
    assert mass.regions
    for region in mass.regions:
        left, top, right, bottom = region.box
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 300


def test_detector_without_boxes_says_zero(
    run: Any, tmp_path: Path, write_instance: WriteInstance
) -> None:
    run(detectors={"mass": write_detector(tmp_path / "mass.pth", bias=-20.0)})

    mass = mass_of(tmp_path / "bundle", write_instance(breast(300, 200)))

    assert (mass.score, mass.above_threshold, mass.regions) == (0.0, False, ())


def test_head_says_whether_and_detector_where(run: Any, tmp_path: Path) -> None:
    run(
        heads={"mass": write_classifier(tmp_path / "head.pth", classifier_state())},
        detectors={"mass": write_detector(tmp_path / "mass.pth")},
    )

    manifest = read_manifest(tmp_path / "bundle")
    entry = manifest.finding("mass")
    assert (entry.source, entry.threshold) == (FindingSource.HEAD, 0.5)
    assert manifest.detector_of(entry) is not None
    assert set(manifest.sources) == {"checkpoint", "head mass", "detector mass"}


def test_detector_of_several_classes_is_refused(run: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="2 classes"):
        run(detectors={"mass": write_detector(tmp_path / "mass.pth", classes=2)})


def test_detector_of_something_else_is_refused(run: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither mass nor calcification"):
        run(detectors={"density": write_detector(tmp_path / "mass.pth")})


def test_box_lands_on_the_pixels_that_it_was_drawn_on() -> None:
    image = PreparedImage(
        values=np.zeros((1520, 912), np.float32),
        grey=np.zeros((1520, 912), np.uint8),
        geometry=CropGeometry(
            column_runs=((100, 1012),), row_runs=((40, 3080),), input_columns=912, input_rows=1520
        ),
        source_rows=3200,
        source_columns=1100,
    )
    inside = DetectedBox(box=(128.0, 64.0, 256.0, 512.0), score=0.7)
    flat = DetectedBox(box=(9.0, 600.0, 20.0, 512.0), score=0.6)

    (region,) = box_regions((inside, flat), image)

    assert region.box == pytest.approx((328.0, 420.0, 556.0, 3080.0))
    assert region.activation == 0.7
