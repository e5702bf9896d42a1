"""Tells several answers of one question apart where a reader of a report looks: in the value."""

from collections import Counter
from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    ContentItem,
    ContentSequence,
    RelationshipTypeValues,
    TextContentItem,
)

from dicom_node.objects.wording import to_ascii


def told_apart(answers: Sequence[tuple[ContentItem, str]]) -> list[ContentItem]:
    """Name image or breast in each coded answer whose question is answered more than once.

    Viewers show a name and a value, as "CAD Processing and Findings Summary: with findings", and
    leave out what stands below. Such an answer becomes a text, with the code below it; texts come
    last, as the rows of the template do (PS3.16 TID 1500).

    Parameters
    ----------
    answers : each with what it is of, which is empty for the examination as a whole
    """
    asked = Counter(_question_of(item) for item, _ in answers)
    told = [
        _in_words(item, owner)
        if isinstance(item, CodeContentItem) and owner and asked[_question_of(item)] > 1
        else item
        for item, owner in answers
    ]
    return sorted(told, key=lambda item: isinstance(item, TextContentItem))


def _question_of(item: ContentItem) -> tuple[str, str]:
    return str(item.name.value), str(item.name.scheme_designator)


def _in_words(item: CodeContentItem, owner: str) -> TextContentItem:
    children = item.get("ContentSequence", [])
    scores = [
        f", {measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"
        for child in children
        if child.ValueType == "NUM"
        for measured in child.MeasuredValueSequence
    ]
    text = to_ascii(f"{owner}: {item.value.meaning}{''.join(scores)}")
    told = TextContentItem(item.name, text, RelationshipTypeValues.CONTAINS)
    code = CodeContentItem(item.name, item.value, RelationshipTypeValues.HAS_PROPERTIES)
    told.ContentSequence = ContentSequence([code, *children])
    return told
