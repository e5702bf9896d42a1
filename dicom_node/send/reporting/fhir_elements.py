"""Elements of FHIR resources: codes, identifiers and references, as DICOM's guides write them."""

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from dicom_node.send.reporting.report import Code, Measure

Element: TypeAlias = dict[str, Any]
"""A part of a resource, as JSON has it."""

GUIDE: Final = "http://hl7.org/fhir/uv/dicom-sr"
"""Canonical address of the HL7 guide *DICOM SR to FHIR*."""

_DICOM_UIDS: Final = "urn:dicom:uid"
_URIS: Final = "urn:ietf:rfc3986"
_OTHER_SCHEMES: Final = "urn:dicom:coding-scheme:"
_SYSTEMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DCM": "http://dicom.nema.org/resources/ontology/DCM",
        "SCT": "http://snomed.info/sct",
        "LN": "http://loinc.org",
        "UCUM": "http://unitsofmeasure.org",
        "UMLS": "http://terminology.hl7.org/CodeSystem/umls",
        "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
        "RADLEX": "http://radlex.org",
    }
)
"""URIs of coding schemes (PS3.16 8, table 8-1)."""

_SOP_CLASSES: Final = "https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.5"

_STUDY_UID: Final = Code(value="110180", scheme="DCM", meaning="Study Instance UID")


def system_of(scheme: str) -> str:
    """Return the URI of a coding scheme; of one that has none, its designator behind a prefix."""
    return _SYSTEMS.get(scheme, f"{_OTHER_SCHEMES}{scheme}")


def coding(code: Code) -> Element:
    """Return a Coding."""
    found = {"system": system_of(code.scheme), "code": code.value, "display": code.meaning}
    return {key: value for key, value in found.items() if value}


def concept(code: Code, text: str = "") -> Element:
    """Return a CodeableConcept, with the words of the report where it has some."""
    return {"coding": [coding(code)]} | ({"text": text} if text else {})


def quantity(measure: Measure) -> Element:
    """Return a number with its unit."""
    return percentage(measure.value, measure.unit)


def percentage(value: float, unit: Code) -> Element:
    """Return a value with a unit."""
    return {
        "value": value,
        "unit": unit.meaning,
        "system": system_of(unit.scheme),
        "code": unit.value,
    }


def uid_identifier(uid: str, kind: Element | None = None) -> Element:
    """Return an identifier for a UID of DICOM."""
    return ({"type": kind} if kind else {}) | {"system": _DICOM_UIDS, "value": f"urn:oid:{uid}"}


def own_identifier(*parts: str) -> Element:
    """Return an identifier that follows from what it is of: equal parts give an equal one."""
    name = uuid.uuid5(uuid.NAMESPACE_OID, "\0".join(parts))
    return {"system": _URIS, "value": f"urn:uuid:{name}"}


def observation_uid(*parts: str) -> Element:
    """Return the identifier of an observation (PS3.3 C.17-5), a UID that follows from its place."""
    name = uuid.uuid5(uuid.NAMESPACE_OID, "\0".join(("observation", *parts)))
    kind = {
        "coding": [
            {
                "system": f"{GUIDE}/CodeSystem/dicom-identifier-type",
                "code": "observation-uid",
                "display": "Observation UID",
            }
        ]
    }
    return uid_identifier(f"2.25.{name.int}", kind)


def study_reference(study_instance_uid: str) -> Element:
    """Return a reference to the study by its UID, whatever the server calls it."""
    return {
        "type": "ImagingStudy",
        "identifier": uid_identifier(study_instance_uid, concept(_STUDY_UID)),
    }


def request_reference(accession_number: str, system: str) -> Element:
    """Return a reference to the order by its accession number."""
    kind = {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                "code": "ACSN",
                "display": "Accession ID",
            }
        ]
    }
    identifier = {"type": kind} | ({"system": system} if system else {})
    return {"type": "ServiceRequest", "identifier": identifier | {"value": accession_number}}


def sop_class(uid: str) -> Element:
    """Return the Coding of a SOP Class."""
    return {"system": _SOP_CLASSES, "code": uid}
