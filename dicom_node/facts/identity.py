"""Compares patients by digest, without storing who they are."""

import hashlib
import hmac
import operator
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from pydicom.dataset import Dataset

KEYWORDS: Final = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
"""What tells whose an image is."""

_NAME: Final = "Name"
_MIDDLE: Final = "Middle"
_SUFFIX: Final = "Suffix"
_DIGITS: Final = 16
_HALF: Final = _DIGITS // 2
_KEY_DIGITS: Final = 4
_KEYED: Final = "k"
_IN_FULL: Final = "."
"""Stands between the digest of an initial and that of the name, which share the place of one."""
_BETWEEN_FORMS: Final = ","

_SHORTENED: Final = (".", "\u00aa", "\u00ba")
_POINTED_SCRIPTS: Final = ("LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW")
_PLAIN_LETTERS: Final = str.maketrans(
    {"\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u00e6": "ae", "\u0153": "oe", "\u0131": "i"}
)
"""Letters that Unicode does not take apart, as they are written where they are not known."""


@dataclass(frozen=True, slots=True)
class PatientDigest:
    """Digests of an object's patient attributes, which cannot be searched without the key.

    Attributes
    ----------
    keyed : mapping of word to ``kKKKK:digest``
        KKKK identifies the key, so that digests made with different keys are not compared. The
        words are the keywords, and ``Name``, ``Middle`` and ``Suffix``: a name as it is compared.
        Where a middle name is given in full, its form is ``kKKKK:initial.whole``.
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

        def middle(name: str) -> str:
            initial = digested(_MIDDLE, name[:1])[0]
            if len(name) <= 1:
                return initial
            whole = digested(_MIDDLE, name)[0].removeprefix(prefix)
            return f"{initial[:-_HALF]}{_IN_FULL}{whole[:_HALF]}"

        names = list(_names_in(_value_of(dataset, "PatientName")))
        forms = {
            _NAME: [digested(_NAME, one.name)[0] for one in names],
            _MIDDLE: [middle(one.middle) for one in names if one.middle],
            # One is enough, and the ledger's column has no room for more.
            _SUFFIX: [digested(_SUFFIX, one.suffix)[0] for one in names if one.suffix][:1],
        }
        for word, known in forms.items():
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
    fits = _agree(one, other, _MIDDLE, _is_same_middle) is not False
    return same and fits and _agree(one, other, _SUFFIX) is not False


def _is_same_middle(one: str, other: str) -> bool:
    """Compare middle names in full where both are, else by their initials."""
    (initial, _, whole), (their_initial, _, theirs) = (
        form.partition(_IN_FULL) for form in (one, other)
    )
    shared = len(_KEYED) + _KEY_DIGITS + len(":") + _HALF
    return initial[:shared] == their_initial[:shared] and (
        not whole or not theirs or whole == theirs
    )


def _agree(
    one: _Forms, other: _Forms, word: str, is_same: Callable[[str, str], bool] = operator.eq
) -> bool | None:
    """Compare what was digested with the same key; None if there is nothing to compare."""
    mine, theirs = one.get(word, set()), other.get(word, set())
    if not {_key_of(form) for form in mine} & {_key_of(form) for form in theirs}:
        return None
    return any(is_same(form, their_form) for form in mine for their_form in theirs)


def _key_of(form: str) -> str:
    return form.partition(":")[0] if form.startswith(_KEYED) else ""


def _forms(stored: str) -> dict[str, set[str]]:
    parts = (word.partition("=") for word in stored.split())
    return {word: {*digest.split(_BETWEEN_FORMS)} for word, _, digest in parts}


def _value_of(dataset: Dataset, keyword: str) -> str:
    value = str(dataset.get(keyword) or "").strip("^= \0")
    # The date of older equipment has points in it.
    return value.replace(".", "") if keyword == "PatientBirthDate" else value


class _WrittenName(NamedTuple):
    """One way that a name is written, folded: family and given name, second given name, suffix."""

    name: str
    middle: str
    suffix: str


def _names_in(value: str) -> Iterator[_WrittenName]:
    """Yield each way that a name is written.

    Equipment and archives differ in capitals, accents, spaces and hyphens, in whether a middle
    name is given, in full or by its first letter, or stands behind the given name, and some write
    a comma between family and given name.
    """
    for group in value.split("=")[:2]:  # in Latin letters, and in ideographs
        written = group if "^" in group else group.replace(",", "^", 1)
        family, given, middle, _, suffix = [*written.split("^"), "", "", "", ""][:5]
        first, *others = given.split() or [""]
        name = f"{_folded(family)}^{_folded(first)}"
        if name != "^":
            seconds = (_second(word) for word in (*others, *middle.split()))
            yield _WrittenName(name, next(filter(None, seconds), ""), _folded(suffix))


def _second(word: str) -> str:
    """Return a second given name as it is compared; of a shortened one only its initial."""
    folded = _folded(word)
    return folded[:1] if word.endswith(_SHORTENED) else folded


def _folded(text: str) -> str:
    """Return a part of a name as it is compared: without case, accents, spaces and punctuation.

    No letter is lost (PS3.4 C.2.2.2.1): combining characters are accents, or points that everyday
    writing leaves out, in some scripts, and vowels, tones and voiced sounds in others.

    The ledger holds digests of what this returns. Of a name that is folded otherwise since a study
    was received, a further image of that study is known by its Patient ID alone; without one it is
    set aside, which is the safe side.
    """
    kept, is_pointed = [], False
    for char in unicodedata.normalize("NFKD", text):
        category = unicodedata.category(char)
        if category[0] in "ZPS" or category in {"Cc", "Cf"}:
            continue
        if category[0] != "M":
            is_pointed = unicodedata.name(char, "").startswith(_POINTED_SCRIPTS)
        elif is_pointed:
            continue
        kept.append(char)
    return unicodedata.normalize("NFKC", "".join(kept).casefold().translate(_PLAIN_LETTERS))
