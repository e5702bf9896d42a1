"""The private coding schemes of an object, each identified once in its SOP Common module."""

import copy
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.facts.own_result import MANUFACTURER
from dicom_node.objects.elements.element_order import elements_in_order
from dicom_node.objects.elements.legal_items import legal_item
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.terms.codes import OWN_SCHEME
from dicom_node.objects.terms.wording import to_ascii

_PRIVATE: Final = "99"
"""With this begin the designators that anybody may give (PS3.3 8.2)."""

_DESIGNATOR: Final = 0x00080102

_KNOWN: Final = {
    "99IHE": ("IHE AI Results, codes before DICOM has one", "IHE Radiology"),
    OWN_SCHEME: ("Findings named by the model or its prompts", MANUFACTURER),
}


def private_coding_schemes(
    dataset: Dataset, source: Dataset, copied: Dataset, identity: ResultIdentity
) -> list[Dataset]:
    """Return an item for each private coding scheme that an object uses; empty if it uses none.

    Parameters
    ----------
    dataset : the whole object
    copied : what it took over from the source; the source says whose these schemes are

    References
    ----------
    PS3.3 C.12.1.1.2, Coding Scheme Identification Sequence.
    """
    stated = {
        str(item.get("CodingSchemeDesignator") or ""): item
        for item in map(legal_item, source.get("CodingSchemeIdentificationSequence") or [])
    }
    theirs = set(_designators(copied))
    items = []
    for designator in dict.fromkeys(_designators(dataset)):
        if designator in stated:
            items.append(copy.deepcopy(stated[designator]))
            continue
        item = Dataset()
        item.CodingSchemeDesignator = designator
        if designator in _KNOWN:
            item.CodingSchemeName, item.CodingSchemeResponsibleOrganization = _KNOWN[designator]
        elif designator not in theirs:
            bundle = identity.bundle
            item.CodingSchemeName = to_ascii(f"Private codes of the bundle {bundle.name}", 64)
            item.CodingSchemeResponsibleOrganization = to_ascii(f"Author of {bundle.name}", 64)
        items.append(item)
    return items


def _designators(dataset: Dataset) -> Iterator[str]:
    for element in elements_in_order(dataset):
        if element.VR == "SQ":
            for item in element.value:
                yield from _designators(item)
        elif element.tag == _DESIGNATOR:
            designator = str(element.value or "")
            if designator.startswith(_PRIVATE):
                yield designator
