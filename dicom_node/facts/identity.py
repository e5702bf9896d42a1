"""Compares patients by digest, without storing who they are."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from pydicom.dataset import Dataset

KEYWORDS: Final = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
)
"""Must be equal in all images of a study: a result object can name only one patient."""

_DIGITS: Final = 16
_KEY_DIGITS: Final = 4
_KEYED: Final = "k"


@dataclass(frozen=True, slots=True)
class PatientDigest:
    """Digests of an object's patient attributes, which cannot be searched without the key.

    Attributes
    ----------
    keyed : mapping of keyword to ``kKKKK:digest``
        KKKK identifies the key, so that digests made with different keys are not compared.
    unkeyed : mapping of keyword to digest
        The form of earlier releases, made without a key. It is only compared with digests that
        a ledger already holds, never stored: all birth dates can be tried within a second.
    """

    keyed: Mapping[str, str]
    unkeyed: Mapping[str, str]

    @classmethod
    def of(cls, dataset: Dataset, key: bytes) -> Self:
        """Digest each identifying attribute that has a value.

        The Study Instance UID enters each digest, so that digests of two studies cannot be
        compared.
        """
        study = str(dataset.get("StudyInstanceUID") or "")
        prefix = f"{_KEYED}{hashlib.sha256(key).hexdigest()[:_KEY_DIGITS]}:"
        keyed, unkeyed = {}, {}
        for keyword in KEYWORDS:
            value = str(dataset.get(keyword) or "").rstrip("^= ")
            if value:
                message = f"{study}\n{keyword}\n{value}".encode()
                digest = hmac.new(key, message, hashlib.sha256).hexdigest()
                keyed[keyword] = f"{prefix}{digest[:_DIGITS]}"
                unkeyed[keyword] = hashlib.sha256(message).hexdigest()[:_DIGITS]
        return cls(keyed=keyed, unkeyed=unkeyed)

    def contradicts(self, stored: str) -> bool:
        """Return whether a study's stored digests are of another patient.

        A missing value is no contradiction, nor is a digest made with another key.
        """
        return any(
            digest != self._comparable(keyword, digest)
            for keyword, digest in _words(stored).items()
            if keyword in self.keyed
        )

    def joined_to(self, stored: str) -> str:
        """Return the stored digests updated with the keyed digests of this object."""
        words = {**_words(stored), **self.keyed}
        return " ".join(f"{keyword}={digest}" for keyword, digest in sorted(words.items()))

    def _comparable(self, keyword: str, stored: str) -> str:
        """Return the digest of this object in the form of a stored one."""
        if not stored.startswith(_KEYED):
            return self.unkeyed[keyword]
        mine = self.keyed[keyword]
        same_key = stored.partition(":")[0] == mine.partition(":")[0]
        return mine if same_key else stored


def _words(digest: str) -> dict[str, str]:
    parts = (word.partition("=") for word in digest.split())
    return {keyword: value for keyword, _, value in parts}
