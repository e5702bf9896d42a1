"""Whose page it is: patient, examination and institution, as they stand above each page."""

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from dicom_node.objects.pdf.typeface import NOT_PRINTABLE, printable

_UNKNOWN: Final = "not stated"


def heading_of(source: Dataset) -> tuple[str, ...]:
    """Return two lines: who the patient is; when, under which number and where she was examined.

    What the source does not state is named as that, so that no page is taken for another's.

    Parameters
    ----------
    source : header of an analysed image
    """
    patient = (
        ("Patient", _name_of(source)),
        ("ID", _text_of(source, "PatientID")),
        ("born", _date_of(source, "PatientBirthDate")),
        ("sex", _text_of(source, "PatientSex")),
    )
    examination = (
        ("Examination of", _date_of(source, "StudyDate")),
        ("accession number", _text_of(source, "AccessionNumber")),
        ("institution", _text_of(source, "InstitutionName")),
    )
    return tuple(
        ", ".join(f"{name}: {value}" for name, value in line) for line in (patient, examination)
    )


def _name_of(source: Dataset) -> str:
    """Return the first form of the name that can be printed: letters, then ideograms, then sounds.

    References
    ----------
    PS3.5 6.2.1 (component groups of a person name).
    """
    forms = list(_forms_of(source.get("PatientName")))
    for form in forms:
        name = printable(form)
        if name is not None:
            return name
    return NOT_PRINTABLE if forms else _UNKNOWN


def _forms_of(value: object) -> Iterator[str]:
    if not isinstance(value, PersonName):
        return
    for group in (value.alphabetic, value.ideographic, value.phonetic):
        family, *others = str(group).split("^")
        rest = " ".join(filter(None, others))
        form = ", ".join(filter(None, (family.strip(), rest.strip())))
        if form:
            yield form


def _text_of(source: Dataset, keyword: str) -> str:
    value = str(source.get(keyword) or "").strip()
    if not value:
        return _UNKNOWN
    return printable(value) or NOT_PRINTABLE


def _date_of(source: Dataset, keyword: str) -> str:
    text = _text_of(source, keyword)
    if len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text
