"""A findings document whose parts contradict each other is refused, and what does is named."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from findings_factory import STUDY

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings_document import from_json, to_json


def document() -> dict[str, Any]:
    return dict(json.loads(to_json(STUDY)))


def twice(part: list[Any]) -> None:
    part.append(part[0])


def region_of(read: dict[str, Any]) -> dict[str, Any]:
    return dict(read["images"][0]["findings"][0]["regions"][0])


def classes(*shares: tuple[float, bool]) -> list[dict[str, Any]]:
    """Return a class set as another program may judge it: shares and what is above."""
    answer = document()["images"][0]["findings"][0] | {"regions": [], "class_of": "birads"}
    return [
        answer | {"name": name, "score": score, "threshold": None, "above_threshold": is_above}
        for name, (score, is_above) in zip("abc", shares, strict=False)
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda read: twice(read["breasts"]), "breast 'R' has two answers"),
        (
            lambda read: read["breasts"][0].update(laterality="L"),
            "breast 'L' has an answer, but no analysed image is of it",
        ),
        (
            lambda read: twice(read["breasts"][0]["findings"]),
            "breast 'R' has two answers for mass",
        ),
        (
            lambda read: read["breasts"][0]["findings"][0].update(regions=[region_of(read)]),
            "breast 'R': mass has regions, which belong to images",
        ),
        (lambda read: twice(read["study"]), "the study has two answers for mass"),
        (
            lambda read: read["study"][0].update(score=0.61),
            "the study: mass has 0.61, below the 0.625 of breast 'R'",
        ),
        (
            lambda read: read["study"][0].update(score=0.1, above_threshold=False),
            "the study: mass has 0.1, below the 0.625 of breast 'R'",
        ),
        (
            lambda read: (read["breasts"].clear(), read["study"][0].update(score=0.5)),
            "the study: mass has 0.5, below the 0.625 of image 1.2.3.1",
        ),
        (
            lambda read: read["breasts"][0]["findings"][0].update(
                score=0.5, aggregation="highest of its images"
            ),
            "breast 'R': mass has 0.5, below the 0.625 of image 1.2.3.1",
        ),
        (
            lambda read: read["study"][0].update(regions=[region_of(read)]),
            "the study: mass has regions, which belong to images",
        ),
        (
            lambda read: read["images"][0].update(status="failed", reason="cut off"),
            "its status is failed, but it has an answer",
        ),
        (
            lambda read: read["images"][0].update(status="left_out", reason="a copy"),
            "its status is left_out, but it has an answer",
        ),
        (
            lambda read: read["images"][0]["findings"].extend(classes((0.2, True), (0.7, False))),
            "image 1.2.3.1: of the class set birads a is above its threshold, and b is higher",
        ),
        (
            lambda read: read["images"][-1].update(
                status="failed", reason=" \n", findings=[], density_scores=[]
            ),
            "is failed without a reason",
        ),
        (lambda read: read["bundle"].update(sha256="x" * 100_000), "sha256 of the bundle is 'xxx"),
        (lambda read: read.update(settings_sha256=""), "settings_sha256 is '', not 64"),
    ],
)
def test_contradiction_is_refused_by_name(
    change: Callable[[dict[str, Any]], object], words: str
) -> None:
    read = document()
    change(read)

    with pytest.raises(FindingsFormatError, match=words) as refused:
        from_json(json.dumps(read))
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "shares",
    [
        pytest.param([(0.7, True), (0.3, False)], id="highest"),
        pytest.param([(0.5, True), (0.5, True)], id="tied"),
        pytest.param([(0.7, False), (0.3, False)], id="a negative one"),
    ],
)
def test_class_set_whose_highest_class_is_above_is_read(shares: list[tuple[float, bool]]) -> None:
    read = document()
    read["images"][0]["findings"].extend(classes(*shares))

    assert from_json(json.dumps(read)).images


def test_classes_of_two_frames_are_judged_apart() -> None:
    read = document()
    first, second = classes((0.9, True), (0.6, True))
    read["images"][0]["findings"].extend([first, second | {"frame": 2}])

    assert from_json(json.dumps(read)).images


def test_key_that_stands_twice_is_refused() -> None:
    text = to_json(STUDY).removesuffix("}") + ', "format": 1}'

    with pytest.raises(FindingsFormatError, match="the key 'format' stands twice"):
        from_json(text)


def test_mark_of_the_byte_order_is_read_over() -> None:
    assert from_json("\ufeff" + to_json(STUDY)) == STUDY


@pytest.mark.parametrize(
    ("part", "score", "aggregation"),
    [
        ("study", 0.3, "mean of the breasts"),
        ("study", 0.3, "Average"),
        ("study", 0.9, "a head over all images"),
        ("study", 0.62, "highest of the breasts"),  # rounded to two digits
        ("breasts", 0.3, "mean of its images"),
        ("breasts", 0.3, ""),  # documents did not always tell
    ],
)
def test_score_that_its_aggregation_allows_is_read(
    part: str, score: float, aggregation: str
) -> None:
    read = document()
    for breast in read["breasts"]:
        owner = breast["findings"] if part == "breasts" else read["study"]
        owner[0].update(score=score, aggregation=aggregation, above_threshold=score >= 0.5)
    if part == "breasts":
        read["study"][0].update(score=score)

    assert from_json(json.dumps(read)).breasts
