"""Small data sets made at once, of which a content tree has thousands."""

from functools import cache
from typing import Any, Final, TypeAlias

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

Elements: TypeAlias = dict[BaseTag, DataElement | RawDataElement]
"""What a data set is made of."""

_TEXTS: Final = frozenset({"CS", "UT"})
"""Value representations of our own texts, of which the library checks nothing that ours breaks."""


def dataset_of(**values: Any) -> Dataset:
    """Return a data set with the values of these keywords.

    To set them one by one takes several times as long: the library looks up keyword and tag each
    time.
    """
    return Dataset(elements_of(**values))


def elements_of(**values: Any) -> Elements:
    """Return elements by tag, which no other data set holds."""
    return {
        element.tag: element
        for element in (_element(keyword, value) for keyword, value in values.items())
    }


def _element(keyword: str, value: Any) -> DataElement:
    tag, vr = _tag_and_vr(keyword)
    if vr == "SQ":
        return DataElement(tag, vr, Sequence(value), already_converted=True)
    # A backslash parts values where a text may have several.
    is_ready = vr in _TEXTS and type(value) is str and (vr == "UT" or "\\" not in value)
    return DataElement(tag, vr, value, already_converted=is_ready)


@cache
def _tag_and_vr(keyword: str) -> tuple[BaseTag, str]:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise AttributeError(f"{keyword} is the keyword of no attribute")
    return BaseTag(tag), dictionary_VR(tag)
