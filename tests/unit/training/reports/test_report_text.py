import numpy as np
import pytest

from training.reports.report_text import (
    SENTENCE_END,
    Report,
    clean_report,
    clean_section,
    draw_texts,
    sentences_of,
    shuffled,
    to_cell,
    to_text,
)

SENTENCES = ("there is a mass", "no suspicious calcification seen", "skin is not thickened")


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_birads_loses_its_hyphen() -> None:
    assert clean_section("BI-RADS category 2") == ("birads category 2",)


def test_newline_inside_a_sentence_becomes_a_space() -> None:
    assert clean_section("There is\na mass") == ("there is a mass",)


def test_periods_divide_sentences() -> None:
    assert clean_section("There is a mass. No skin thickening.") == (
        "there is a mass",
        "no skin thickening",
    )


def test_punctuation_is_a_token_of_its_own() -> None:
    assert clean_section("Oval, high-density mass") == ("oval , high - density mass",)


def test_characters_beyond_ascii_are_dropped() -> None:
    assert clean_section("Mass of 5 µm – naïve") == ("mass of 5 m nave",)


@pytest.mark.parametrize("text", ["", "...", "Stable.", "No mass.", "\n \n"])
def test_sentence_of_two_tokens_is_dropped(text: str) -> None:
    assert clean_section(text) == ()


def test_cleaned_sentence_stays_as_it_is() -> None:
    (sentence,) = clean_section("Oval, high-density mass; BI-RADS 4")

    assert clean_section(sentence) == (sentence,)


def test_text_has_no_periods() -> None:
    report = clean_report(findings="There is a mass. No skin thickening.")

    assert to_text(report.findings).split(SENTENCE_END) == ["there is a mass", "no skin thickening"]


def test_sentences_are_found_again_in_a_cell() -> None:
    assert sentences_of(to_cell(SENTENCES)) == SENTENCES
    assert sentences_of(repr([to_cell(SENTENCES[:2]), SENTENCES[2]])) == SENTENCES


def test_shuffle_keeps_every_sentence() -> None:
    assert sorted(shuffled(SENTENCES, generator())) == sorted(SENTENCES)


def test_shuffle_reaches_every_order() -> None:
    source = generator()

    assert len({shuffled(SENTENCES, source) for _ in range(200)}) == 6


def test_texts_of_a_report_are_its_two_sections() -> None:
    report = Report(findings=SENTENCES[:1], impression=SENTENCES[1:2])
    source = generator()

    drawn = {draw_texts(report, source) for _ in range(50)}

    assert drawn == {SENTENCES[:2], SENTENCES[1::-1]}


def test_report_of_one_section_gives_its_sentences_twice() -> None:
    first, second = draw_texts(Report(impression=SENTENCES), generator())

    assert sorted(first.split()) == sorted(second.split()) == sorted(" ".join(SENTENCES).split())


def test_equal_seeds_draw_equal_texts() -> None:
    report = Report(findings=SENTENCES, impression=SENTENCES)

    assert draw_texts(report, generator(4)) == draw_texts(report, generator(4))


def test_report_without_a_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="without a sentence"):
        draw_texts(Report(), generator())


def test_section_is_replaced_by_its_own_words_every_second_time() -> None:
    report = Report(findings=("there is a mass",), impression=("birads category four",))
    other = Report(findings=("a mass is seen",), impression=("suspicious abnormality found",))

    drawn = [draw_texts(report, generator(seed), other) for seed in range(200)]

    pairs = {frozenset(texts) for texts in drawn}
    assert pairs == {
        frozenset((findings, impression))
        for findings in (*report.findings, *other.findings)
        for impression in (*report.impression, *other.impression)
    }
    replaced = sum(text in (*other.findings, *other.impression) for pair in drawn for text in pair)
    assert 160 <= replaced <= 240  # of 400, four standard deviations to either side


def test_section_without_other_words_keeps_its_own() -> None:
    report = Report(findings=SENTENCES, impression=("birads category four",))
    other = Report(impression=("suspicious abnormality found",))

    texts = {text for seed in range(20) for text in draw_texts(report, generator(seed), other)}

    assert all(sorted(text.split()) == sorted(" ".join(SENTENCES).split())
               for text in texts - {*report.impression, *other.impression})  # fmt: skip
    assert {*report.impression, *other.impression} <= texts
