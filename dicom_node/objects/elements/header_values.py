"""What a header says, where it can be read at all: damaged values count as absent."""

import copy

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from mammoclip_core.images.header.views import VALUE_ERRORS


def readable(source: Dataset) -> Dataset:
    """Return a header without private attributes and without those that cannot be read."""
    kept = Dataset()
    for tag in source.keys():  # noqa: SIM118  a data set's items are read when they are iterated
        if tag.is_private:
            continue
        try:
            kept[tag] = source[tag]
        except VALUE_ERRORS:
            continue
    return kept


def element_of(source: Dataset, keyword: str) -> DataElement | None:
    """Return a copy of an attribute as it stands, or None where it is absent or unreadable.

    Where a number cannot be read as one, pydicom 3 gives its text: it counts as unreadable.
    """
    element = stated_element_of(source, keyword)
    if element is None:
        return None
    is_no_number = element.VR in {"DS", "IS"} and isinstance(element.value, str) and element.value
    return None if is_no_number else element


def stated_element_of(source: Dataset, keyword: str) -> DataElement | None:
    """Return a copy of an attribute, the text of a number that is none included."""
    try:
        return copy.deepcopy(source[keyword])
    except VALUE_ERRORS:
        return None
