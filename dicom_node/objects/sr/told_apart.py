"""Tells several answers of one question apart where a reader of a report looks: in the value."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.sr.coding import Code

from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.terms.wording import to_ascii


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A coded value under a concept.

    Attributes
    ----------
    children : of its item
    owner : image or breast that it is of, in words; empty for the examination as a whole
    score : number and unit that stand below it, as they are read; empty if none does
    """

    concept: Code
    value: Code
    children: Sequence[Item] = ()
    owner: str = ""
    score: str = ""


def told_apart(answers: Sequence[Answer]) -> list[Item]:
    """Write answers, those of a question with more than one with the image or breast in the value.

    Viewers show a name and a value, as "CAD Processing and Findings Summary: with findings", and
    leave out what stands below. Such an answer becomes a text, with the code below it; texts come
    last, as the rows of the template do (PS3.16 TID 1500).
    """
    asked = Counter(_question_of(answer) for answer in answers)

    def is_in_words(answer: Answer) -> bool:
        return bool(answer.owner) and asked[_question_of(answer)] > 1

    return [
        *(_in_code(answer) for answer in answers if not is_in_words(answer)),
        *(_in_words(answer) for answer in answers if is_in_words(answer)),
    ]


def _question_of(answer: Answer) -> tuple[str, str]:
    return answer.concept.value, answer.concept.scheme_designator


def _in_code(answer: Answer) -> Item:
    return content_tree.code(Relationship.CONTAINS, answer.concept, answer.value, answer.children)


def _in_words(answer: Answer) -> Item:
    score = f", {answer.score}" if answer.score else ""
    text = to_ascii(f"{answer.owner}: {answer.value.meaning}{score}")
    code = content_tree.code(Relationship.HAS_PROPERTIES, answer.concept, answer.value)
    return content_tree.text(Relationship.CONTAINS, answer.concept, text, [code, *answer.children])
