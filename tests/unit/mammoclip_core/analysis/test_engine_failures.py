"""An image that cannot be analysed fails alone, with its reason."""

from pathlib import Path

import imagecodecs
import misbehaving_decoder
import numpy as np
import pytest
from core_factory import (
    PUBLISHED,
    StandInModel,
    WriteInstance,
    breast,
    encapsulated,
    manifest_with,
)
from engine_factory import analysis_of, request_of
from numpy.typing import NDArray
from pydicom.uid import JPEGLSLossless

from mammoclip_core.analysis.engine import Engine, Prediction
from mammoclip_core.errors import BatchMemoryError, ComputingError
from mammoclip_core.findings import ImageStatus
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import prepare


def test_broken_image_fails_while_the_others_go_on(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"no DICOM")

    findings = analysis_of(write_instance(breast()), broken, write_instance(breast())).findings

    statuses = [image.status for image in findings.images]
    assert statuses == [ImageStatus.ANALYSED, ImageStatus.FAILED, ImageStatus.FAILED]
    assert "not a readable DICOM file" in findings.images[1].reason


def test_file_of_another_instance_is_not_taken_for_it(write_instance: WriteInstance) -> None:
    path = write_instance(breast())

    (image,) = analysis_of(path, sop_instance_uid="1.2.3").findings.images

    assert image.status is ImageStatus.FAILED
    assert "1.2.826" in image.reason


def test_error_of_the_model_is_the_callers(write_instance: WriteInstance) -> None:
    class BrokenModel(StandInModel):
        def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        analysis_of(write_instance(breast()), model=BrokenModel(manifest_with()))


def test_study_without_readable_images_has_no_aggregates(tmp_path: Path) -> None:
    findings = analysis_of(tmp_path / "none").findings

    assert (findings.breasts, findings.study) == ((), ())


class SmallMemoryModel(StandInModel):
    """Has memory for some images at once and no more."""

    fits: int = 1

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        if len(batch) > self.fits:
            raise BatchMemoryError("memory is short on cpu")
        return super().predict(batch)


def test_batch_that_does_not_fit_is_halved(write_instance: WriteInstance) -> None:
    paths = [write_instance(breast(seed=number)) for number in range(5)]
    model = SmallMemoryModel(manifest_with())

    findings = Engine(model, batch_size=4).analyze(request_of(*paths)).findings

    assert [image.status for image in findings.images] == [ImageStatus.ANALYSED] * 5
    assert [shape[0] for shape in model.batches] == [1] * 5


def test_image_that_does_not_fit_alone_fails_with_the_reason(
    write_instance: WriteInstance,
) -> None:
    model = SmallMemoryModel(manifest_with())
    model.fits = 0
    engine = Engine(model, batch_size=2)

    findings = engine.analyze(request_of(write_instance(breast()))).findings

    assert findings.images[0].status is ImageStatus.FAILED
    assert findings.images[0].reason == "memory is short on cpu"


def test_image_without_a_finite_answer_fails_alone(write_instance: WriteInstance) -> None:
    class OverflowingModel(StandInModel):
        def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
            if any(np.array_equal(image, marked_values) for image in batch):
                raise ComputingError("the model's answer is no finite number")
            return super().predict(batch)

    paths = [write_instance(breast(seed=number)) for number in range(4)]
    marked_values = np.repeat(
        prepare(read_image(paths[2]), PUBLISHED).values[np.newaxis], 3, axis=0
    )
    engine = Engine(OverflowingModel(manifest_with()), batch_size=4)

    findings = engine.analyze(request_of(*paths)).findings

    statuses = [image.status for image in findings.images]
    assert statuses == [*[ImageStatus.ANALYSED] * 2, ImageStatus.FAILED, ImageStatus.ANALYSED]


def test_image_that_breaks_its_decoder_fails_alone(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    image = breast(seed=5)
    poison = encapsulated(
        tmp_path / "poison", image, JPEGLSLossless, imagecodecs.jpegls_encode(image)
    )
    engine = Engine(StandInModel(manifest_with()))

    with DecodingPool(program=misbehaving_decoder.command("segfault")) as decoding:
        engine.read_by(decoding.read_image)
        request = request_of(write_instance(breast()), poison)
        findings = engine.analyze(request).findings

    assert [image.status for image in findings.images] == [ImageStatus.ANALYSED, ImageStatus.FAILED]
    assert "the image crashes its decoder" in findings.images[1].reason
