import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from findings_factory import MASS, REGION, STUDY

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import ScoreOf
from mammoclip_core.findings_document import from_json, to_json


def test_document_reads_back_as_it_was_written() -> None:
    assert from_json(to_json(STUDY)) == STUDY


def test_finding_keeps_its_frame() -> None:
    image = replace(STUDY.images[0], frame=7, findings=(replace(MASS, frame=12),))
    study = replace(STUDY, images=(image,))

    assert from_json(to_json(study)) == study


def test_document_without_frames_of_findings_is_read() -> None:
    document = json.loads(to_json(STUDY))
    del document["images"][0]["findings"][0]["frame"]

    assert from_json(json.dumps(document)).images[0].findings[0].frame == 1


def test_document_without_its_engine_is_read() -> None:
    document = json.loads(to_json(STUDY))
    del document["engine"]

    assert from_json(json.dumps(document)) == replace(STUDY, engine=None)


@pytest.mark.parametrize("engine", ["openvino", {"name": "openvino"}, {"cores": 2}, [1]])
def test_engine_that_is_none_is_refused(engine: object) -> None:
    document = json.loads(to_json(STUDY)) | {"engine": engine}

    with pytest.raises(FindingsFormatError):
        from_json(json.dumps(document))


@pytest.mark.parametrize("frame", [0, -3, "2"])
def test_frame_that_does_not_exist_is_refused(frame: object) -> None:
    document = json.loads(to_json(STUDY))
    document["images"][0]["findings"][0]["frame"] = frame

    with pytest.raises(FindingsFormatError, match=r"frame|not supported"):
        from_json(json.dumps(document))


def test_document_of_unknown_format_is_refused() -> None:
    document = json.loads(to_json(STUDY)) | {"format": 3}

    with pytest.raises(FindingsFormatError, match="format 3"):
        from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "images": 3}'])
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(FindingsFormatError):
        from_json(text)


def test_document_with_unknown_key_is_refused() -> None:
    document = json.loads(to_json(STUDY)) | {"patient_name": "x"}

    with pytest.raises(FindingsFormatError, match="patient_name"):
        from_json(json.dumps(document))


def test_document_with_score_outside_its_range_is_refused() -> None:
    text = to_json(STUDY).replace("0.625", "1.625")

    with pytest.raises(FindingsFormatError, match="outside"):
        from_json(text)


def former(*activations: float, **changes: object) -> str:
    """Return a document of format 1 whose mass has boxes of these activations."""
    document = json.loads(to_json(STUDY)) | {"format": 1}
    for owner in (*document["images"], *document["breasts"], document):
        for finding in owner.get("findings", owner.get("study", ())):
            del finding["threshold"]
            for region in finding["regions"]:
                for added in ("score", "score_of", "calibrated", "above_threshold"):
                    del region[added]
    mass = document["images"][0]["findings"][0]
    if activations:
        mass |= {"method": "box", "source": "detector", "score": max(activations)}
        (region,) = mass["regions"]
        mass["regions"] = [region | {"activation": value} for value in activations]
    mass |= changes
    return json.dumps(document)


def test_document_of_format_1_is_read() -> None:
    assert from_json(former()) == STUDY


def test_boxes_of_format_1_have_scores_and_judgements_of_their_own() -> None:
    (mass,) = from_json(former(0.22, 0.92, 0.06)).images[0].findings

    assert [region.score for region in mass.regions] == [0.22, 0.92, 0.06]
    assert [region.above_threshold for region in mass.regions] == [True, True, False]
    assert {region.score_of for region in mass.regions} == {ScoreOf.REGION}


def test_highest_box_of_format_1_has_the_calibrated_score_of_its_finding() -> None:
    (mass,) = from_json(former(0.9, 0.5, score=0.7, calibrated=True)).images[0].findings

    scores = [(region.score, region.calibrated) for region in mass.regions]
    assert scores == [(0.7, True), (0.5, False)]


def test_scores_of_regions_read_back() -> None:
    box = replace(REGION, score_of=ScoreOf.REGION, score=0.25)
    image = replace(STUDY.images[0], findings=(replace(MASS, regions=(REGION, box)),))
    study = replace(STUDY, images=(image,))

    assert from_json(to_json(study)) == study


def places_in(part: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Return where each value of a document stands, of lists the first one."""
    if place:
        yield place
    if isinstance(part, dict):
        for key, value in part.items():
            yield from places_in(value, (*place, key))
    elif isinstance(part, list) and part:
        yield from places_in(part[0], (*place, 0))


def with_value(place: tuple[str | int, ...], value: object) -> str:
    document = json.loads(to_json(STUDY))
    part: Any = document
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    return json.dumps(document).replace("Infinity", "1e400")


@pytest.mark.parametrize(
    "value",
    [{"a": 1}, [[1]], [{}], "words", -1.5, 10**30, float("inf"), None, True],
    ids=lambda value: str(value)[:8],
)
def test_value_of_another_type_is_refused_wherever_it_stands(value: object) -> None:
    document = json.loads(to_json(STUDY))
    for place in places_in(document):
        before: Any = document
        for step in place:
            before = before[step]
        try:
            read = from_json(with_value(place, value))
        except FindingsFormatError:
            continue
        # What is taken is of the declared type: a text for a text, a number for a number.
        assert isinstance(value, type(before)) or before is None or value is None, place
        assert from_json(to_json(read)) == read


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 50_000, '{"format": 2}', "2", "[]"])
def test_text_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(FindingsFormatError):
        from_json(text)


def test_half_of_a_letter_is_refused_wherever_text_stands() -> None:
    document = json.loads(to_json(STUDY))
    texts = []
    for place in places_in(document):
        value: Any = document
        for step in place:
            value = value[step]
        if isinstance(value, str):
            texts.append(place)

    for place in texts:
        with pytest.raises(FindingsFormatError):
            from_json(with_value(place, "half of a letter: \ud83d"))

    assert len(texts) > 10


@pytest.mark.parametrize(
    "scores", [[0.0, 0.0, 0.0, 7.0], [-1.0, 0.0, 1.0, 1.0], [0.1, 0.1, 0.1, 0.1]]
)
def test_density_scores_that_are_no_shares_of_one_are_refused(scores: list[float]) -> None:
    document = json.loads(to_json(STUDY))
    document["images"][0]["density_scores"] = scores

    with pytest.raises(FindingsFormatError, match="no shares of 1"):
        from_json(json.dumps(document))


def test_image_with_more_findings_than_a_picture_can_name_is_refused() -> None:
    document = json.loads(to_json(STUDY))
    (first, *_) = document["images"][0]["findings"]
    document["images"][0]["findings"] = [first | {"name": f"n{number}"} for number in range(501)]

    with pytest.raises(FindingsFormatError, match="it has 501 findings, more than 500"):
        from_json(json.dumps(document))
