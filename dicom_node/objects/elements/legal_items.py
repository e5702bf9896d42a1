"""Attributes and sequence items as the standard allows them, or none."""

import copy
from typing import Any, Final

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_node.objects.elements.header_values import readable, stated_element_of
from dicom_node.objects.elements.legal_values import legal_character_sets, legal_value

_YES_NO: Final = frozenset({"YES", "NO"})
_TERMS: Final = {
    "PatientSex": frozenset({"M", "F", "O"}),
    "QualityControlSubject": _YES_NO,
    "PatientIdentityRemoved": _YES_NO,
    "ConsentForDistributionFlag": frozenset({"NO", "YES", "WITHDRAWN"}),
    "TypeOfPatientID": frozenset({"TEXT", "RFID", "BARCODE"}),
    "UniversalEntityIDType": frozenset({"DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500"}),
}
"""Enumerated values of what is copied."""

_SEXES: Final = {"FEMALE": "F", "MALE": "M", "OTHER": "O"}
_LONGEST_CODE: Final = 16

_Needs = tuple[frozenset[str], ...]
_REFERENCE: Final[_Needs] = (
    frozenset({"ReferencedSOPClassUID"}),
    frozenset({"ReferencedSOPInstanceUID"}),
)
_CODE: Final[_Needs] = (
    frozenset({"CodeMeaning"}),
    frozenset({"CodeValue", "LongCodeValue", "URNCodeValue"}),
    frozenset({"CodingSchemeDesignator", "URNCodeValue"}),
)
_DESIGNATOR: Final[_Needs] = (frozenset({"LocalNamespaceEntityID", "UniversalEntityID"}),)
_NEEDS: Final[dict[str, _Needs]] = {
    "OtherPatientIDsSequence": (frozenset({"PatientID"}), frozenset({"TypeOfPatientID"})),
    "ReferencedStudySequence": _REFERENCE,
    "ReferringPhysicianIdentificationSequence": (
        frozenset({"PersonIdentificationCodeSequence"}),
        frozenset({"InstitutionName", "InstitutionCodeSequence"}),
    ),
    "ConsentForClinicalTrialUseSequence": (frozenset({"ConsentForDistributionFlag"}),),
    "AssigningFacilitySequence": _DESIGNATOR,
    "IssuerOfAccessionNumberSequence": _DESIGNATOR,
    "IssuerOfAdmissionIDSequence": _DESIGNATOR,
    "OrderFillerIdentifierSequence": _DESIGNATOR,
    "OrderPlacerIdentifierSequence": _DESIGNATOR,
}
"""Of each sequence what an item must have: one at least of each set."""


def legal_element(source: Dataset, keyword: str) -> DataElement | None:
    """Return an attribute in its legal form; None where it has none, is absent or unreadable.

    What is legal as it stands keeps its very bytes. Items without what they must have are left
    out, and with the last of them the sequence.

    References
    ----------
    PS3.5 6.2; PS3.3 C.7.1.1, C.7.2.1, 8.8 (codes), 10.14 (issuers).
    """
    element = stated_element_of(source, keyword)
    if element is None:
        return None
    vr = dictionary_VR(keyword)
    if vr == "SQ":
        return _sequence(element, keyword)
    if keyword == "SpecificCharacterSet":
        sets = legal_character_sets([str(value) for value in _values_of(element)])
        return DataElement(keyword, "CS", sets) if sets else None
    values = _values_of(element)
    legal = [_legal(keyword, vr, value) for value in values]
    if not _fits(len(values), dictionary_VM(keyword)) or any(value is None for value in legal):
        return None
    if vr == element.VR and [str(value) for value in legal] == [str(value) for value in values]:
        return element
    return DataElement(keyword, vr, legal if len(legal) > 1 else next(iter(legal), None))


def legal_item(item: Dataset) -> Dataset:
    """Return an item with those of its attributes that have a legal form."""
    kept = Dataset()
    for element in readable(item):
        keyword = keyword_for_tag(element.tag)
        legal = legal_element(item, keyword) if keyword else None
        if legal is not None:
            kept.add(legal)
    _correct_code(item, kept)
    if ("UniversalEntityID" in kept) != ("UniversalEntityIDType" in kept):
        kept.pop("UniversalEntityID", None)
        kept.pop("UniversalEntityIDType", None)
    return kept


def _sequence(element: DataElement, keyword: str) -> DataElement | None:
    if element.VR != "SQ":
        return None
    needs = _CODE if keyword.endswith("CodeSequence") else _NEEDS.get(keyword, ())
    items = [
        item
        for item in map(legal_item, element.value)
        if all(any(item.get(name) for name in names) for names in needs)
    ]
    items = [item for item in items if len(item)]
    return DataElement(keyword, "SQ", items) if items else None


def _correct_code(item: Dataset, kept: Dataset) -> None:
    """Write a code of more than 16 characters as the long one that it is (PS3.3 8.1)."""
    stated = stated_element_of(item, "CodeValue")
    if stated is None or "CodeValue" in kept or "LongCodeValue" in kept:
        return
    value = str(stated.value or "").strip(" \0")
    if len(value) > _LONGEST_CODE and legal_value("UC", value) is not None:
        kept.LongCodeValue = value


def _legal(keyword: str, vr: str, value: Any) -> Any | None:
    text = str(value).strip(" \0")
    if not text:
        return ""
    if keyword == "PatientSex":
        value = _SEXES.get(text.upper(), value)
    legal = legal_value(vr, value)
    terms = _TERMS.get(keyword)
    return None if terms is not None and legal not in terms else legal


def _values_of(element: DataElement) -> list[Any]:
    value = element.value
    if value is None:
        return []
    return list(value) if isinstance(value, MultiValue | list) else [copy.deepcopy(value)]


def _fits(count: int, multiplicity: str) -> bool:
    most = multiplicity.partition("-")[2] or multiplicity
    return count <= 1 or most.endswith("n") or count <= int(most)
