"""The engine with a model that looks at the brightest spot: the way back to source pixels."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core_factory import (
    PUBLISHED,
    StandInModel,
    WriteInstance,
    breast,
    manifest_with,
    pair,
)
from numpy.typing import NDArray

from mammoclip_core.analysis.engine import Engine, ImageToAnalyse, Prediction, StudyRequest
from mammoclip_core.analysis.interpretation import calibrated, on_extent
from mammoclip_core.errors import BatchMemoryError, ComputingError
from mammoclip_core.findings import (
    EngineIdentity,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    StudyAnalysis,
)
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import CropGeometry, prepare
from mammoclip_core.lexicon import DENSITY

TORCH = EngineIdentity(name="torch", version="2.6.0", precision="float32")


def request_of(*paths: Path, **changes: Any) -> StudyRequest:
    images = tuple(
        ImageToAnalyse(
            **{
                "sop_instance_uid": f"1.2.826.0.1.3680043.8.498.{number}",
                "path": path,
                "laterality": "L",
                "view_position": "CC",
                **changes,
            }
        )
        for number, path in enumerate(paths, start=1)
    )
    return StudyRequest(study_instance_uid="1.2.3.4", images=images)


def analysis_of(*paths: Path, model: StandInModel | None = None, **changes: Any) -> StudyAnalysis:
    model = model or StandInModel(manifest_with())
    return Engine(model, batch_size=2).analyze(request_of(*paths, **changes))


def marked(rows: int, columns: int, mark: tuple[int, int]) -> NDArray[np.uint16]:
    """Return a dim breast at the left edge with one bright square around (column, row)."""
    values = breast(rows, columns) // 4
    reach = min(rows, columns) // 16
    column, row = mark
    values[row - reach : row + reach, column - reach : column + reach] = 4000
    return values


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


def test_images_keep_their_order_over_batches(write_instance: WriteInstance) -> None:
    paths = [write_instance(breast(seed=number)) for number in range(5)]
    model = StandInModel(manifest_with())

    findings = analysis_of(*paths, model=model).findings

    names = [image.sop_instance_uid.rpartition(".")[2] for image in findings.images]
    assert names == ["1", "2", "3", "4", "5"]
    assert model.batches == [(2, 3, 1520, 912), (2, 3, 1520, 912), (1, 3, 1520, 912)]


def test_error_of_the_model_is_the_callers(write_instance: WriteInstance) -> None:
    class BrokenModel(StandInModel):
        def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        analysis_of(write_instance(breast()), model=BrokenModel(manifest_with()))


def test_study_without_readable_images_has_no_aggregates(tmp_path: Path) -> None:
    findings = analysis_of(tmp_path / "none").findings

    assert (findings.breasts, findings.study) == ((), ())


def test_images_that_were_left_out_are_named_behind_the_others(
    write_instance: WriteInstance,
) -> None:
    left_out = ImageFindings(
        sop_instance_uid="1.9", status=ImageStatus.LEFT_OUT, reason="a magnification view"
    )
    request = replace(request_of(write_instance(breast())), left_out=(left_out,))

    findings = Engine(StandInModel(manifest_with())).analyze(request).findings

    assert findings.images[1] == left_out


def test_remark_becomes_the_reason_of_an_analysed_image(write_instance: WriteInstance) -> None:
    (image,) = analysis_of(write_instance(breast()), remark="For Processing").findings.images

    assert (image.status, image.reason) == (ImageStatus.ANALYSED, "For Processing")


@pytest.mark.parametrize(("score", "is_above"), [(0.5, True), (0.499, False)])
def test_score_at_the_threshold_is_above_it(
    write_instance: WriteInstance, score: float, is_above: bool
) -> None:
    model = StandInModel(manifest_with(), scores={"mass": score})

    (image,) = analysis_of(write_instance(marked(400, 300, (90, 250))), model=model).findings.images

    assert image.findings[0].above_threshold is is_above
    assert bool(image.findings[0].regions) is is_above


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


def test_density_is_told_of_the_breast_and_is_no_finding(write_instance: WriteInstance) -> None:
    manifest = manifest_with(pair("mass"), DENSITY)
    model = StandInModel(manifest, density_scores=(0.1, 0.2, 0.6, 0.1))

    findings = analysis_of(write_instance(breast()), model=model).findings

    assert findings.breasts[0].density == "C"
    assert [item.name for item in findings.images[0].findings] == ["mass"]


def test_finding_without_activation_is_not_localised(write_instance: WriteInstance) -> None:
    class BlindModel(StandInModel):
        def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
            return [Prediction(scores=self.scores) for _ in batch]

    analysis = analysis_of(write_instance(breast()), model=BlindModel(manifest_with()))

    assert analysis.findings.images[0].findings[0].method is LocalisationMethod.NONE
    assert analysis.heatmaps == ()


def test_calibration_is_applied_before_the_threshold(write_instance: WriteInstance) -> None:
    manifest = manifest_with(pair("mass", threshold=0.4, calibration=(2.0, -1.0)))
    model = StandInModel(manifest, scores={"mass": 0.6})

    (image,) = analysis_of(write_instance(breast()), model=model).findings.images

    odds = (0.6 / 0.4) ** 2 * np.exp(-1.0)
    assert image.findings[0].score == pytest.approx(odds / (1 + odds))
    assert image.findings[0].calibrated
    assert image.findings[0].above_threshold


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_calibration_of_a_certain_score_is_finite(score: float) -> None:
    assert 0.0 <= calibrated(score, pair("mass", calibration=(50.0, 3.0))) <= 1.0


def test_isotonic_calibration_is_linear_between_its_pairs() -> None:
    entry = pair("mass", isotonic=((0.4, 0.1), (0.6, 0.9)))

    values = [calibrated(score, entry) for score in (0.0, 0.4, 0.45, 0.6, 1.0)]

    assert values == pytest.approx([0.1, 0.1, 0.3, 0.9, 0.9])


@pytest.mark.parametrize(
    "changes",
    [
        {"isotonic": ((0.4, 0.9), (0.6, 0.1))},
        {"isotonic": ((0.6, 0.1), (0.4, 0.9))},
        {"isotonic": ((0.4, 0.1), (0.6, 1.9))},
        {"isotonic": ((0.4, 0.1),), "calibration": (1.0, 0.0)},
    ],
)
def test_calibration_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        pair("mass", **changes)


def test_equal_settings_have_equal_digests() -> None:
    digests = {Engine(StandInModel(manifest_with())).settings_sha256 for _ in range(2)}

    assert len(digests) == 1


def test_every_setting_that_changes_the_answer_changes_the_digest() -> None:
    engines = [
        Engine(StandInModel(manifest_with())),
        Engine(StandInModel(manifest_with()), computed_by=replace(TORCH, precision="bfloat16")),
        Engine(StandInModel(manifest_with()), computed_by=replace(TORCH, name="openvino")),
        Engine(StandInModel(manifest_with(pair("mass", threshold=0.6)))),
        Engine(StandInModel(manifest_with(scoring="tempered"))),
        Engine(StandInModel(manifest_with(pair("mass", isotonic=((0.4, 0.1), (0.6, 0.9)))))),
        Engine(StandInModel(manifest_with(replace(pair("mass"), prompts=("none", "mass"))))),
        Engine(StandInModel(manifest_with(preprocessing=replace(PUBLISHED, rows=760)))),
    ]

    assert len({engine.settings_sha256 for engine in engines}) == len(engines)


def test_version_of_the_engine_does_not_change_the_digest() -> None:
    other = Engine(StandInModel(manifest_with()), computed_by=replace(TORCH, version="9"))

    assert other.settings_sha256 == Engine(StandInModel(manifest_with())).settings_sha256


def test_findings_say_what_computed_them(write_instance: WriteInstance) -> None:
    engine = Engine(StandInModel(manifest_with()), computed_by=TORCH)

    findings = engine.analyze(request_of(write_instance(breast()))).findings

    assert findings.engine == TORCH
    assert str(findings.engine) == "torch 2.6.0 float32"


def test_every_image_is_counted_as_it_is_answered(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    paths = [write_instance(breast()) for _ in range(5)]
    paths.append(tmp_path / "none")
    counted: list[int] = []
    model = StandInModel(manifest_with())

    Engine(model, batch_size=1).analyze(
        request_of(*paths), lambda: counted.append(len(model.batches))
    )

    assert len(counted) == 6
    assert counted[0] < counted[-1] == 5


def test_batch_size_does_not_change_the_digest() -> None:
    one = Engine(StandInModel(manifest_with()), batch_size=1)

    assert one.settings_sha256 == Engine(StandInModel(manifest_with())).settings_sha256


def test_activation_over_joined_parts_is_empty_between_them() -> None:
    geometry = CropGeometry(
        column_runs=((10, 30), (50, 70)), row_runs=((0, 40),), input_columns=40, input_rows=40
    )

    spread = on_extent(np.ones((4, 4), np.float32), geometry)

    assert spread.shape == (40, 60)
    assert spread[:, :20].all()
    assert not spread[:, 20:40].any()
    assert spread[:, 40:].all()


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


def test_studies_are_answered_in_order_and_share_batches(write_instance: WriteInstance) -> None:
    paths = [write_instance(breast(seed=number)) for number in range(3)]
    requests = [
        replace(request_of(*paths), study_instance_uid="1"),
        StudyRequest(study_instance_uid="2", images=()),
        replace(request_of(*paths), study_instance_uid="3"),
        StudyRequest(study_instance_uid="4", images=()),
    ]
    model = StandInModel(manifest_with())

    answers = list(Engine(model, batch_size=4).analyze_studies(requests))

    assert [answer.findings.study_instance_uid for answer in answers] == ["1", "2", "3", "4"]
    assert [len(answer.findings.images) for answer in answers] == [3, 0, 3, 0]
    assert [shape[0] for shape in model.batches] == [4, 2]
    alone = Engine(StandInModel(manifest_with())).analyze(requests[0])
    assert answers[0].findings.images == alone.findings.images


def test_studies_are_taken_a_few_ahead_of_the_answers(write_instance: WriteInstance) -> None:
    path = write_instance(breast())
    taken = []

    def requests() -> Iterator[StudyRequest]:
        for number in range(50):
            taken.append(number)
            yield replace(request_of(path), study_instance_uid=str(number))

    answers = Engine(StandInModel(manifest_with()), batch_size=2).analyze_studies(requests())

    next(answers)

    # Two decoded, two a thread, a batch at the model, one being interpreted, one that is taken.
    assert len(taken) <= 10
    answers.close()
