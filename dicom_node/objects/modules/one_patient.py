"""One patient for all objects of an answer, whose name its images may spell in several ways."""

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.identity import PatientDigest, is_one_patient
from dicom_node.objects.elements.header_values import element_of
from dicom_node.objects.modules.copied_attributes import COPIED_KEYWORDS, copied_attributes

_TELLING: Final = ("PatientID", "PatientName", "PatientBirthDate")
_COMPARED: Final = (*_TELLING, "IssuerOfPatientID", "PatientSex", "AccessionNumber")


def of_one_patient(headers: Sequence[Dataset]) -> list[Dataset]:
    """Let all headers name the patient and the study in the same way.

    Where they differ in the patient or in the accession number, of which a study has one (PS3.3
    C.7.2.1), they say what the last one says of those that state the most of ID, name and birth
    date, with the character set of the name.

    Parameters
    ----------
    headers : of one study; may be changed

    Raises
    ------
    ObjectRefusedError
        They are of different patients by the rule of `dicom_node.facts.identity`.
    """
    if not is_one_patient(PatientDigest.of(header, b"").stored() for header in headers):
        uid = headers[0].get("StudyInstanceUID")
        raise ObjectRefusedError(
            f"the images of study {uid} are of different patients by PatientID, PatientName and "
            "PatientBirthDate"
        )
    stated = [copied_attributes(header) for header in headers]
    if len({_compared(one) for one in stated}) <= 1:
        return list(headers)
    numbers = range(len(headers))
    subject = headers[max(numbers, key=lambda n: (*_completeness(stated[n]), n))]
    for header in headers:
        for keyword in COPIED_KEYWORDS if header is not subject else ():
            header.pop(keyword, None)
            element = element_of(subject, keyword)
            if element is not None:
                header.add(element)
    return list(headers)


def _completeness(header: Dataset) -> tuple[int, bool]:
    told = [str(header.get(keyword) or "") for keyword in _TELLING]
    return sum(map(bool, told)), "SpecificCharacterSet" in header or all(map(str.isascii, told))


def _compared(header: Dataset) -> tuple[str, ...]:
    return tuple(str(header.get(keyword) or "").rstrip("^= ") for keyword in _COMPARED)
