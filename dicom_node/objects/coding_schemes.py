"""Which private coding schemes an object uses, as it has to say once."""

from typing import Final

from pydicom.dataset import Dataset

from dicom_node.facts.own_result import MANUFACTURER
from dicom_node.objects.codes import OWN_SCHEME

_PRIVATE: Final = "99"
"""Designators that begin so are private (PS3.16 8.2)."""

_OWN_NAME: Final = "Findings named by the model or its prompts"


def identify_coding_schemes(dataset: Dataset) -> None:
    """List the private coding schemes that the codes of an object are of, in place.

    One that we know nothing of is listed by its designator alone.

    References
    ----------
    PS3.3 C.12.1 (Coding Scheme Identification Sequence).
    """
    designators = {
        str(element.value)
        for element in dataset.iterall()
        if element.keyword == "CodingSchemeDesignator" and element.value
    }
    items = []
    for designator in sorted(name for name in designators if name.startswith(_PRIVATE)):
        item = Dataset()
        item.CodingSchemeDesignator = designator
        if designator == OWN_SCHEME:
            item.CodingSchemeName = _OWN_NAME
            item.CodingSchemeResponsibleOrganization = MANUFACTURER
        items.append(item)
    if items:
        dataset.CodingSchemeIdentificationSequence = items
