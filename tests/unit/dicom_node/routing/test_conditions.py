"""Conditions are checked before they are used, and bounded when they are."""

import math
from typing import Any

import pytest

from dicom_node.routing.conditions import (
    ConditionError,
    EvaluationError,
    Kind,
    checked,
    parts_of,
)

KINDS = {
    "sender": Kind.TEXT,
    "age": Kind.NUMBER,
    "images": Kind.COUNT,
    "views": Kind.TEXTS,
    "complete": Kind.CLAIM,
    "score": Kind.SCORES,
    "each.Manufacturer": Kind.TEXTS,
    "PixelSpacing": Kind.NUMBERS,
}
VALUES: dict[str, Any] = {
    "sender": "ROOM1",
    "age": 52.0,
    "images": 4,
    "views": ["LCC", "RMLO"],
    "complete": True,
    "score": {"mass": 0.75},
    "each.Manufacturer": ["HOLOGIC, Inc.", "HOLOGIC, Inc."],
    "PixelSpacing": [0.07, 0.07],
}
HUNDRED = f"[{', '.join(['1'] * 100)}]"


@pytest.mark.parametrize(
    "text",
    [
        "sender == 'ROOM1' && age >= 40",
        "age > 51.5 && age == 52 && 40 <= age && age in [51, 52]",
        "images == 4 && images >= 2",
        "'LCC' in views && size(views) == 2",
        "each.Manufacturer.all(one, one.matches('(?i).*hologic.*'))",
        "complete && !(sender.startsWith('VAN'))",
        "score['mass'] >= 0.5 || score.mass > 1",
        "PixelSpacing.exists(one, one < 1)",
    ],
)
def test_condition_holds(text: str) -> None:
    assert checked(text, KINDS).holds(VALUES)


@pytest.mark.parametrize("text", ["age < 40", "age >= 40", "age == 0", "age in [0, 40]"])
def test_number_that_is_absent_compares_with_none(text: str) -> None:
    assert not checked(text, KINDS).holds({**VALUES, "age": math.nan})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Manufacturr == 'x'", "column 1: nothing is called Manufacturr"),
        ("sendr == 'x'", "column 1: nothing is called sendr; did you mean sender?"),
        ("sender == 3", "column 8: == does not apply to (text, whole number)"),
        ("age == 'x'", "column 5: == does not apply to (number, text)"),
        ("age > 'x'", "column 5: > does not apply to (number, text)"),
        ("sender ==", "column 10: Syntax error"),
        ("sender = 'x'", "column 8: Syntax error"),
        ("complete &&\n  sendr == 'x'", "line 2, column 3: nothing is called sendr"),
        ("sender", "the condition is neither true nor false"),
        ("sender.reversed() == 'x'", "column 16: nothing is called reversed"),
        ("__import__('os').system('true') == 0", "nothing is called"),
        ("sender.matches('(')", "column 16: invalid regular expression"),
        ("each.Model == ['x']", "nothing is called each.Model"),
    ],
)
def test_mistake_is_named_with_its_position(text: str, words: str) -> None:
    with pytest.raises(ConditionError) as raised:
        checked(text, KINDS)

    assert words in str(raised.value)
    assert "INVALID_ARGUMENT" not in str(raised.value)


@pytest.mark.parametrize("text", [f"{'(' * 200}true{')' * 200}", f"{'[' * 900}{']' * 900} == []"])
def test_nesting_is_bounded(text: str) -> None:
    with pytest.raises(ConditionError, match="recursion"):
        checked(text, KINDS)


def test_steps_are_bounded() -> None:
    nested = "true"
    for name in ("a", "b", "c", "d", "e", "f"):
        nested = f"{HUNDRED}.all({name}, {nested})"

    with pytest.raises(EvaluationError, match="Iteration budget exceeded"):
        checked(nested, KINDS).holds(VALUES)


def test_expression_that_other_engines_match_for_ever_is_matched_at_once() -> None:
    assert not checked("sender.matches('(a*)*b')", KINDS).holds({**VALUES, "sender": "a" * 1000})


def test_division_by_zero_is_told() -> None:
    with pytest.raises(EvaluationError, match="divide by zero"):
        checked("8 / images > 1", KINDS).holds({**VALUES, "images": 0})


@pytest.mark.parametrize(
    "text",
    [
        "{'a': 1}[sender] == 1",
        "sender.matches(sender)",
        "int(sender) > 1",
        "timestamp(sender).getHours() > 1",
    ],
)
def test_trouble_quotes_no_value_of_an_image(text: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        checked(text, KINDS).holds({**VALUES, "sender": "Quellwasser^Ottilie("})

    assert "Quellwasser" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a && b", ["a", "b"]),
        ("(a && b) && c[d && e]", ["(a && b)", "c[d && e]"]),
        ("a && b || c", ["a && b || c"]),
        ("a && b ? c : d", ["a && b ? c : d"]),
        ('a == \' && \' && b == "|| \\" &&"', ["a == ' && '", 'b == "|| \\" &&"']),
        ("a && (b || c)", ["a", "(b || c)"]),
        ("a", ["a"]),
    ],
)
def test_condition_is_split_where_all_parts_must_hold(text: str, parts: list[str]) -> None:
    assert parts_of(text) == parts
