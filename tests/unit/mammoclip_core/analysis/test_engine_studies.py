"""Every image of a study gets its answer, in order; studies share batches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from core_factory import StandInModel, WriteInstance, breast, manifest_with
from engine_factory import TORCH, analysis_of, request_of

from mammoclip_core.analysis.engine import Engine, StudyRequest
from mammoclip_core.findings import ImageFindings, ImageStatus


def test_images_keep_their_order_over_batches(write_instance: WriteInstance) -> None:
    paths = [write_instance(breast(seed=number)) for number in range(5)]
    model = StandInModel(manifest_with())

    findings = analysis_of(*paths, model=model).findings

    names = [image.sop_instance_uid.rpartition(".")[2] for image in findings.images]
    assert names == ["1", "2", "3", "4", "5"]
    assert model.batches == [(2, 3, 1520, 912), (2, 3, 1520, 912), (1, 3, 1520, 912)]


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


def test_findings_say_what_computed_them(write_instance: WriteInstance) -> None:
    engine = Engine(StandInModel(manifest_with()), computed_by=TORCH)

    findings = engine.analyze(request_of(write_instance(breast()))).findings

    assert findings.engine == TORCH
    assert str(findings.engine) == "torch 2.6.0 float32"


def test_pixels_of_whole_breasts_are_measured_as_they_are_decoded(
    write_instance: WriteInstance,
) -> None:
    whole = {"BodyPartExamined": "BREAST", "ImageLaterality": "L", "ViewPosition": "CC"}

    measured = analysis_of(write_instance(breast(), **whole)).pixels

    assert list(measured) == ["breast_share", "mean_grey", "noise"]
    assert 0.1 < measured["breast_share"] < 0.9


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


def test_stages_are_told_to_who_asked(write_instance: WriteInstance) -> None:
    told: list[str] = []
    request = replace(request_of(write_instance(breast())), on_stage=told.append)

    Engine(StandInModel(manifest_with())).analyze(request)

    assert told == ["decoding", "inference", "decoding", "interpretation"]
