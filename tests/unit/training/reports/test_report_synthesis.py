import numpy as np
import pytest

from training.reports.report_synthesis import (
    Attribute,
    Observation,
    negative_sentences,
    positive_sentences,
    slots_of,
    synthesize_report,
)
from training.reports.report_text import clean_section

PUBLISHED_COUNTS = {
    Attribute.MASS: 400,
    Attribute.SUSPICIOUS_CALCIFICATION: 1440,
    Attribute.ARCHITECTURAL_DISTORTION: 400,
    Attribute.ASYMMETRY: 280,
    Attribute.FOCAL_ASYMMETRY: 280,
    Attribute.GLOBAL_ASYMMETRY: 280,
}
MASS = Observation(attribute=Attribute.MASS, terms={"shape": "round", "margin": "spiculated"})


@pytest.mark.parametrize("laterality", ["L", "R"])
@pytest.mark.parametrize(("attribute", "count"), PUBLISHED_COUNTS.items())
def test_attribute_has_as_many_distinct_sentences_as_published(
    attribute: Attribute, count: int, laterality: str
) -> None:
    sentences = set(positive_sentences(Observation(attribute=attribute), laterality))

    assert len(sentences) >= count


@pytest.mark.parametrize("attribute", Attribute)
def test_sentences_are_already_clean(attribute: Attribute) -> None:
    sentences = [
        *positive_sentences(Observation(attribute=attribute), "L"),
        *negative_sentences(attribute, "L"),
    ]

    assert [clean_section(sentence) for sentence in sentences] == [(s,) for s in sentences]


@pytest.mark.parametrize("attribute", Attribute)
def test_positive_sentence_names_its_attribute(attribute: Attribute) -> None:
    sentences = positive_sentences(Observation(attribute=attribute), "R")

    assert all(attribute.lower() in sentence for sentence in sentences)


def test_known_terms_are_said() -> None:
    assert all(" round spiculated " in f" {s} " for s in positive_sentences(MASS, "R"))


def test_laterality_is_said() -> None:
    assert all(
        "left" in sentence and "right" not in sentence
        for sentence in synthesize_report([MASS], "L", np.random.default_rng(1))
    )


def test_equal_seeds_write_equal_reports() -> None:
    first, second = (synthesize_report([MASS], "L", np.random.default_rng(4)) for _ in range(2))

    assert first == second


def test_attribute_that_is_not_seen_is_denied_once() -> None:
    report = synthesize_report([MASS], "L", np.random.default_rng(2))

    positive = [s for s in report if s in set(positive_sentences(MASS, "L"))]
    denied = [a for a in Attribute for s in negative_sentences(a, "L") if s in report]
    assert len(positive) == 1
    assert sorted(denied) == sorted(set(Attribute) - {Attribute.MASS})


def test_report_without_a_finding_is_all_denials() -> None:
    report = synthesize_report([], "R", np.random.default_rng(3))

    assert len(report) == len(Attribute)
    assert all(" no " in f" {sentence} " for sentence in report)


@pytest.mark.parametrize("terms", [{"shape": "square"}, {"morphology": "amorphous"}])
def test_term_beyond_the_lexicon_is_refused(terms: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="lexicon of Mass"):
        Observation(attribute=Attribute.MASS, terms=terms)


@pytest.mark.parametrize("attribute", Attribute)
def test_term_that_is_left_out_leaves_a_whole_sentence(attribute: Attribute) -> None:
    terms = dict.fromkeys(slots_of(attribute), "")
    sentences = list(positive_sentences(Observation(attribute=attribute, terms=terms), "R"))

    noun = attribute.lower()
    view = " on one view" if attribute is Attribute.ASYMMETRY else ""
    assert sentences == [
        f"{noun}{view} in the right breast",
        f"the right breast shows {noun}{view}",
        f"right breast with {noun}{view}",
        f"there is {noun}{view} in the right breast",
    ]


def test_several_words_of_a_term_are_all_said() -> None:
    mass = Observation(attribute=Attribute.MASS, terms={"margin": "indistinct and spiculated"})

    assert all(" indistinct and spiculated " in one for one in positive_sentences(mass, "L"))
    with pytest.raises(ValueError, match="lexicon of Mass"):
        Observation(attribute=Attribute.MASS, terms={"margin": "indistinct and square"})
