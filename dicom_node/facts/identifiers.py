"""By what people look for a study: accession number, patient ID, name and dates.

They are kept beside the ledger for as long as the study's files are, and never go to a log, a
metric or a message.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final, Self

from pydicom.dataset import Dataset

_LONGEST: Final = 64
_LONGEST_NAME: Final = 255
_DATE: Final = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_SPACES: Final = re.compile(r"[\s^=]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifiers:
    """What one image says of its patient and examination; empty where it says nothing.

    Attributes
    ----------
    patient_name : components separated by ``^``, as in the image
    birth_date, study_date : YYYYMMDD
    """

    accession_number: str = ""
    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    study_date: str = ""

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Read them from a header; whatever else stands in it raises nothing."""
        return cls(
            accession_number=_text(dataset, "AccessionNumber", _LONGEST),
            patient_id=_text(dataset, "PatientID", _LONGEST),
            patient_name=_text(dataset, "PatientName", _LONGEST_NAME),
            birth_date=_date(dataset, "PatientBirthDate"),
            study_date=_date(dataset, "StudyDate"),
        )

    @property
    def is_empty(self) -> bool:
        """Return whether the image says nothing of all this."""
        return not any(astuple(self))


def folded(text: str) -> str:
    """Return a text as it is compared: without capitals, accents, and marks between names."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return _SPACES.sub(" ", plain.replace(",", " ")).strip()


def _text(dataset: Dataset, keyword: str, longest: int) -> str:
    try:
        value = dataset.get(keyword)
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[0] if value else ""
        text = str(value or "")
    except Exception:  # noqa: BLE001  damaged values can raise any error
        return ""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown.strip("^= ")[:longest]


def _date(dataset: Dataset, keyword: str) -> str:
    found = _DATE.match(_text(dataset, keyword, _LONGEST))
    return "".join(found.groups()) if found else ""
