"""Texts and numbers in conditions that what they are compared with never has.

A rule with one would take no study, or every one, in silence.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

_TEXT: Final = r"""'[^'\n]*'|"[^"\n]*\""""
_COMPARED: Final = r"\s*(?:[=!]=|[<>]=?)\s*"
_EQUAL: Final = r"\s*[=!]=\s*"
_SPOKEN_OF: Final = (
    rf"\b{{name}}{{compared}}({_TEXT})|({_TEXT}){{compared}}{{name}}\b"
    rf"|\b{{name}}\s+in\s*\[[^\]]*\]"
)
_AMONG: Final = rf"({_TEXT})\s+in\s+{{name}}\b"
_LISTED: Final = rf"\b{{name}}{_EQUAL}\[[^\]]*\]"

_SCORE: Final = re.compile(
    r"""\bscore\s*(?:\[\s*(?:'(?P<one>[^']*)'|"(?P<two>[^"]*)")\s*\]|\.\s*(?P<field>[A-Za-z_]\w*))"""
)
_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_HIGHEST: Final = 1.0

_TIME: Final = ("time", r"(?:[01]\d|2[0-3]):[0-5]\d|24:00", "08:30")
_VIEW: Final = ("views", r"[LRB][A-Z]+", "LMLO")
_FORMS_OF_VR: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"DA": (r"\d{0,8}", "20260101"), "TM": (r"(?:\d{0,6}|\d{6}\.\d+)", "083000")}
)
"""Of attributes by VR: how a value or its beginning reads (PS3.5 6.2), and an example."""

_KEYWORD: Final = re.compile(r"\b[A-Z]\w*(?:Date|Time)\b")


def scores_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield each finding whose score a condition speaks of, with its position from 1."""
    for found in _SCORE.finditer(text):
        group = found.lastgroup or "field"
        yield found.start(group) + 1, found[group]


def wrong_words(text: str, words: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Name the texts that a value with few of them never is.

    Parameters
    ----------
    words : all values, by name
    """
    for name, possible in words.items():
        for column, word in _texts_beside(text, _SPOKEN_OF.format(name=name, compared=_EQUAL)):
            if word not in possible:
                choice = ", ".join(sorted(filter(None, possible)))
                yield f"column {column}: {name} is never {word!r}, but one of {choice}"


def wrong_forms(text: str) -> Iterator[str]:
    """Name the times, dates and views that are written otherwise than the node writes them."""
    name, form, example = _VIEW
    for pattern in (_AMONG.format(name=name), _LISTED.format(name=name)):
        yield from _of_another_form(text, pattern, name, form, example)
    forms = [_TIME]
    for keyword in sorted(set(_KEYWORD.findall(text))):
        is_known = tag_for_keyword(keyword) is not None
        found = _FORMS_OF_VR.get(dictionary_VR(keyword)) if is_known else None
        if found is not None:
            forms.append((keyword, *found))
    for name, form, example in forms:
        item = rf"{name}(?:\s*\[\s*\d+\s*\])?"
        pattern = _SPOKEN_OF.format(name=item, compared=_COMPARED)
        yield from _of_another_form(text, pattern, name, form, example)


def wrong_scores(text: str, findings: Collection[str] | None) -> Iterator[str]:
    """Name findings that no bundle answers, and numbers that no score reaches.

    Parameters
    ----------
    findings : of the site's bundles; None where they are not known
    """
    flagged = _texts_beside(text, _AMONG.format(name="flagged"))
    for column, name in sorted([*scores_in(text), *flagged]):
        if findings is not None and name not in findings:
            choice = ", ".join(sorted(findings))
            yield f"column {column}: no bundle answers {name!r}; choose one of {choice}"
    score = _SCORE.pattern
    before = _SCORE.pattern.replace("?P<", "?P<_")
    for found in re.finditer(rf"{score}{_COMPARED}{_NUMBER}|{_NUMBER}{_COMPARED}{before}", text):
        groups = [number for number in range(1, found.re.groups + 1) if found[number]]
        for group in groups:
            if re.fullmatch(_NUMBER, found[group]) and float(found[group]) > _HIGHEST:
                yield (
                    f"column {found.start(group) + 1}: a score is from 0 to 1, never {found[group]}"
                )


def _of_another_form(text: str, pattern: str, name: str, form: str, example: str) -> Iterator[str]:
    for column, word in _texts_beside(text, pattern):
        if word and re.fullmatch(form, word) is None:
            yield f"column {column}: {name} reads as {example!r}, never {word!r}"


def _texts_beside(text: str, pattern: str) -> Iterator[tuple[int, str]]:
    """Yield the texts within what a pattern matches, each with its position from 1."""
    for found in re.finditer(pattern, text):
        for one in re.finditer(_TEXT, found[0]):
            yield found.start() + one.start() + 2, one[0][1:-1]
