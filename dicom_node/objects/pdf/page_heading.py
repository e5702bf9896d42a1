"""Whose page it is: patient, examination and institution, as they stand above each page."""

from collections.abc import Iterator, Sequence
from typing import Final

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from dicom_node.objects.modules.requested_procedures import request_attributes
from dicom_node.objects.pdf.typeface import NOT_PRINTABLE, printable

_UNKNOWN: Final = "not stated"
_MOST_REQUESTS: Final = 5
"""Accession numbers of requests that stand above a page where the study has none of its own."""


def heading_of(sources: Sequence[Dataset]) -> tuple[str, ...]:
    """Return two lines: who the patient is; when, under which number and where she was examined.

    What they do not state is named as that, so that no page is taken for another's.

    Parameters
    ----------
    sources : headers of the analysed images, of which the first speaks for the patient
    """
    source = sources[0]
    patient = (
        ("Patient", _name_of(source)),
        ("ID", _text_of(source, "PatientID")),
        ("born", _date_of(source, "PatientBirthDate")),
        ("sex", _text_of(source, "PatientSex")),
    )
    examination = (
        ("Examination of", _date_of(source, "StudyDate")),
        ("accession number", _accession_numbers_of(sources)),
        ("institution", _text_of(source, "InstitutionName")),
    )
    return tuple(
        ", ".join(f"{name}: {value}" for name, value in line) for line in (patient, examination)
    )


def _accession_numbers_of(sources: Sequence[Dataset]) -> str:
    """Return the study's number, or those of its requests where it answers several (C.7.2.1)."""
    own = _text_of(sources[0], "AccessionNumber")
    if own != _UNKNOWN:
        return own
    requests = (request for source in sources for request in request_attributes(source))
    numbers = list(dict.fromkeys(_text_of(request, "AccessionNumber") for request in requests))
    known = [number for number in numbers if number != _UNKNOWN]
    if len(known) > _MOST_REQUESTS:
        known[_MOST_REQUESTS - 1 :] = [f"and {len(known) - _MOST_REQUESTS + 1} more"]
    return ", ".join(known) or _UNKNOWN


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
