"""Telling two patients apart without keeping who they are."""

import hashlib
from typing import Final

from pydicom.dataset import Dataset

KEYWORDS: Final = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
)
"""What all images of one study must agree on, or no result object could be written for it."""

_DIGITS: Final = 16


def patient_digest(dataset: Dataset) -> str:
    """Return a digest of each attribute that has a value, as ``Keyword=digest`` words.

    The Study Instance UID enters each digest, so that digests of two studies cannot be compared.
    """
    salt = str(dataset.get("StudyInstanceUID") or "")
    words = []
    for keyword in KEYWORDS:
        value = str(dataset.get(keyword) or "").rstrip("^= ")
        if value:
            digest = hashlib.sha256(f"{salt}\n{keyword}\n{value}".encode()).hexdigest()
            words.append(f"{keyword}={digest[:_DIGITS]}")
    return " ".join(words)
