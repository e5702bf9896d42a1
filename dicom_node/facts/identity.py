"""Compares patients by digest, without storing who they are."""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from pydicom.dataset import Dataset

KEYWORDS: Final = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
"""What tells whose an image is."""

_NAME: Final = "Name"
_MIDDLE: Final = "Middle"
_DIGITS: Final = 16
_KEY_DIGITS: Final = 4
_KEYED: Final = "k"
_BETWEEN_FORMS: Final = ","


@dataclass(frozen=True, slots=True)
class PatientDigest:
    """Digests of an object's patient attributes, which cannot be searched without the key.

    Attributes
    ----------
    keyed : mapping of word to ``kKKKK:digest``
        KKKK identifies the key, so that digests made with different keys are not compared. The
        words are the keywords, and ``Name`` and ``Middle``: a name as it is compared.
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

        def digested(word: str, value: str) -> tuple[str, str]:
            message = f"{study}\n{word}\n{value}".encode()
            with_key = hmac.new(key, message, hashlib.sha256).hexdigest()[:_DIGITS]
            return f"{prefix}{with_key}", hashlib.sha256(message).hexdigest()[:_DIGITS]

        keyed, unkeyed = {}, {}
        for keyword in KEYWORDS:
            value = _value_of(dataset, keyword)
            if value:
                keyed[keyword], unkeyed[keyword] = digested(keyword, value)
        names = list(_names_in(_value_of(dataset, "PatientName")))
        for word, forms in ((_NAME, [name for name, _ in names]), (_MIDDLE, [m for _, m in names])):
            known = [digested(word, form)[0] for form in forms if form]
            if known:
                keyed[word] = _BETWEEN_FORMS.join(dict.fromkeys(known))
        return cls(keyed=keyed, unkeyed=unkeyed)

    def stored(self) -> str:
        """Return the keyed digests as one line of text for the ledger."""
        # The name is kept in the form in which it is compared, and in no other.
        words = {word: digest for word, digest in self.keyed.items() if word != "PatientName"}
        return " ".join(f"{word}={digest}" for word, digest in sorted(words.items()))

    def belongs_to(self, stored: Iterable[str]) -> bool:
        """Return whether an image is of the patient whose digests a study's images have.

        Parameters
        ----------
        stored : as `stored` returned them for each image of the study, or those of an earlier
            release
        """
        mine = {word: {*digest.split(_BETWEEN_FORMS)} for word, digest in self.keyed.items()}
        for keyword, digest in self.unkeyed.items():
            mine[keyword].add(digest)
        return _belongs(mine, [_forms(one) for one in dict.fromkeys(stored)])


def is_one_patient(stored: Iterable[str]) -> bool:
    """Return whether stored digests of a study's images are all of one patient."""
    left = [_forms(one) for one in dict.fromkeys(stored)]
    left.sort(key=len)
    known = [left.pop()] if left else []
    while left:
        found = next((one for one in left if _belongs(one, known)), None)
        if found is None:
            return False
        left.remove(found)
        known.append(found)
    return True


_Forms = Mapping[str, set[str]]
"""The digests of each word: one value may have several."""


def _belongs(one: _Forms, known: Sequence[_Forms]) -> bool:
    """Compare a patient with what is known of another: the same ID, else the same name and date.

    What is absent contradicts nothing, and agrees with nothing either.

    References
    ----------
    PS3.4 C.2.2.2.1 (matching of person names without regard to case and accents).
    """
    if any(_is_same_id(one, other) or _is_same_person(one, other) for other in known):
        return True
    if any(_agree(one, other, "PatientID") is not None for other in known):
        return False
    for compared in (_agree_on_name, _agree_on_birth_date):
        answers = {compared(one, other) for other in known}
        if False in answers and True not in answers:
            return False
    return True


def _is_same_id(one: _Forms, other: _Forms) -> bool:
    same_issuer = _agree(one, other, "IssuerOfPatientID") is not False
    return _agree(one, other, "PatientID") is True and same_issuer


def _is_same_person(one: _Forms, other: _Forms) -> bool:
    return _agree_on_name(one, other) is True and _agree_on_birth_date(one, other) is True


def _agree_on_birth_date(one: _Forms, other: _Forms) -> bool | None:
    return _agree(one, other, "PatientBirthDate")


def _agree_on_name(one: _Forms, other: _Forms) -> bool | None:
    same = _agree(one, other, _NAME)
    if same is None:
        return _agree(one, other, "PatientName")  # as an earlier release has stored it
    return same and _agree(one, other, _MIDDLE) is not False


def _agree(one: _Forms, other: _Forms, word: str) -> bool | None:
    """Compare what was digested with the same key; None if there is nothing to compare."""
    mine, theirs = one.get(word, set()), other.get(word, set())
    if not {_key_of(form) for form in mine} & {_key_of(form) for form in theirs}:
        return None
    return bool(mine & theirs)


def _key_of(form: str) -> str:
    return form.partition(":")[0] if form.startswith(_KEYED) else ""


def _forms(stored: str) -> dict[str, set[str]]:
    parts = (word.partition("=") for word in stored.split())
    return {word: {*digest.split(_BETWEEN_FORMS)} for word, _, digest in parts}


def _value_of(dataset: Dataset, keyword: str) -> str:
    value = str(dataset.get(keyword) or "").strip("^= \0")
    # The date of older equipment has points in it.
    return value.replace(".", "") if keyword == "PatientBirthDate" else value


def _names_in(value: str) -> Iterator[tuple[str, str]]:
    """Yield each way that a name is written, folded, with the first letter of a middle name.

    Equipment and archives differ in capitals, accents, spaces and hyphens, and in whether a middle
    name is given, in full or by its first letter, or stands behind the given name.
    """
    for group in value.split("=")[:2]:  # in Latin letters, and in ideographs
        components = [*group.split("^"), "", ""]
        family, given, middle = components[0], components[1].split(), components[2]
        name = f"{_folded(family)}^{_folded(given[0]) if given else ''}"
        if name != "^":
            yield name, _folded(" ".join([*given[1:], middle]))[:1]


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return re.sub(r"[\W_]", "", "".join(c for c in decomposed if not unicodedata.combining(c)))
