"""Which breast and which view an image shows, read from any data set without importing pydicom."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

STANDARD_VIEWS: Final = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
"""The four images of a screening study: (laterality, view position)."""

VALUE_ERRORS: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
)
"""What pydicom raises when it first turns the bytes of an attribute into a value."""

VIEW_POSITIONS: Final = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399260004": "ML",
    "R-10224": "ML",
    "399352003": "LM",
    "R-10228": "LM",
    "399099002": "LMO",
    "R-10230": "LMO",
    "399196006": "FB",
    "R-10244": "FB",
    "399188001": "SIO",
    "R-102D0": "SIO",
    "441555000": "ISO",
    "R-40AAA": "ISO",
    "399192008": "XCCL",
    "R-1024A": "XCCL",
    "Y-X1770": "XCCL",
    "399101009": "XCCM",
    "R-1024B": "XCCM",
    "Y-X1771": "XCCM",
    "127457009": "SPECIMEN",
    "G-8310": "SPECIMEN",
}
"""View codes of CID 4014, SNOMED CT and the SNOMED-RT value of older equipment."""

VIEW_MODIFIERS: Final = {
    "399055006": "spot compression",
    "R-102D7": "spot compression",
    "399163009": "magnification",
    "R-102D6": "magnification",
    "399209000": "implant displaced",
    "R-102D5": "implant displaced",
    "399011000": "axillary tail",
    "R-102D1": "axillary tail",
    "399161006": "cleavage",
    "R-102D2": "cleavage",
    "399197002": "rolled lateral",
    "R-102D3": "rolled lateral",
    "399226006": "rolled medial",
    "R-102D4": "rolled medial",
    "414493004": "rolled inferior",
    "R-102CA": "rolled inferior",
    "415670009": "rolled superior",
    "R-102C9": "rolled superior",
    "399110001": "tangential",
    "R-102C2": "tangential",
    "442581004": "nipple in profile",
    "R-40AB3": "nipple in profile",
    "441752004": "anterior compression",
    "P2-00161": "anterior compression",
    "442593008": "infra-mammary fold",
    "R-40ABE": "infra-mammary fold",
    "442580003": "axillary tissue",
    "R-40AB2": "axillary tissue",
}
"""View modifier codes of CID 4015, SNOMED CT and the SNOMED-RT value of older equipment."""

MODIFIER_LETTERS: Final = {
    "spot compression": "S",
    "magnification": "M",
    "implant displaced": "ID",
    "axillary tail": "AT",
    "cleavage": "CV",
    "rolled lateral": "RL",
    "rolled medial": "RM",
    "rolled inferior": "RI",
    "rolled superior": "RS",
    "tangential": "TAN",
    "nipple in profile": "NP",
    "anterior compression": "AC",
    "infra-mammary fold": "IMF",
    "axillary tissue": "AX",
}
"""What stands for a modifier on the image itself, as PS3.16 CID 4015 gives it after the ACR."""

_VIEWS_OF_EQUIPMENT: Final = frozenset({"AT", "CV", "TAN", "RL", "RM"})
"""Views that equipment names by the modifier alone: axillary tail, cleavage and so on."""

_VIEWS_BY_MEANING: Final = {
    "CRANIOCAUDAL": "CC",
    "MEDIOLATERALOBLIQUE": "MLO",
    "MEDIOLATERAL": "ML",
    "LATEROMEDIAL": "LM",
    "LATEROMEDIALOBLIQUE": "LMO",
    "CAUDOCRANIAL": "FB",
    "CAUDOCRANIALFROMBELOW": "FB",
    "SUPEROLATERALTOINFEROMEDIALOBLIQUE": "SIO",
    "INFEROMEDIALTOSUPEROLATERALOBLIQUE": "ISO",
    "CRANIOCAUDALEXAGGERATEDLATERALLY": "XCCL",
    "CRANIOCAUDALEXAGGERATEDMEDIALLY": "XCCM",
    "TISSUESPECIMENFROMBREAST": "SPECIMEN",
    "AXILLARYTAIL": "AT",
    "CLEAVAGE": "CV",
    "CLEAVAGEVIEW": "CV",
    "TANGENTIAL": "TAN",
    "ROLLEDLATERAL": "RL",
    "ROLLEDMEDIAL": "RM",
}
"""Meanings of the codes, written as one word: equipment gives them in place of a code or name."""

_PADDLES: Final = {
    "SPOT": "spot compression",
    "SPT": "spot compression",
    "MAG": "magnification",
}
"""Words in Paddle Description (0018,11A4) that say what the view's name may not."""
_PADDLE_WORD: Final = re.compile(r"(?<![A-Z])(SPOT|SPT|MAG)")

_KNOWN_VIEWS: Final = frozenset(VIEW_POSITIONS.values()) | _VIEWS_OF_EQUIPMENT

_SUFFIXES: Final = {
    **{letters: words for words, letters in MODIFIER_LETTERS.items()},
    **{re.sub("[^a-z]", "", words).upper(): words for words in MODIFIER_LETTERS},
    "IMPLANT": "implant displaced",
    "MAG": "magnification",
    "SPOT": "spot compression",
}
"""What equipment adds to the name of a view, by the labels of the ACR and of IHE Mammography."""

_PREFIXES: Final = {
    letters: words
    for letters, words in _SUFFIXES.items()
    if words in {"spot compression", "magnification", "implant displaced"}
}
"""What stands before the name as well: the ACR puts an M before that of a magnified view."""

_SIDES: Final = ("LEFT", "RIGHT", "L", "R")
_NUMBER_AT_THE_END: Final = re.compile(r"[1-9][0-9]?X?$")
"""Of a repeated view, or of a magnification: "CC 2", "CC MAG 1.8X"."""
_LONGEST_NAME: Final = 64

_LONGEST_FIRST: Final = sorted(_KNOWN_VIEWS, key=lambda view: (-len(view), view))
_SEPARATORS: Final = re.compile(r"[\s\-_/.,()]+")
_LATERALITIES: Final = {
    "L": "L",
    "LEFT": "L",
    "R": "R",
    "RIGHT": "R",
    "B": "B",
    "BOTH": "B",
    "BILATERAL": "B",
}


class HasAttributes(Protocol):
    """What is asked of a data set: a look-up by keyword."""

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return the value of an attribute, or `default` where it is absent."""


def laterality_of(dataset: HasAttributes) -> str:
    """Tell which breast an image shows.

    Returns
    -------
    ``L``, ``R``, ``B`` or empty
        Image Laterality where it is given, else Laterality of the series, else Frame Laterality
        of an enhanced multi-frame image; empty if none of them has a usable value.

    References
    ----------
    PS3.3 C.8.11.7.1.1 (Image Laterality), C.7.3.1 (Laterality), C.7.6.16.2.8 (Frame Anatomy).
    """
    for keyword in ("ImageLaterality", "Laterality"):
        laterality = _LATERALITIES.get(_word(dataset, keyword), "")
        if laterality:
            return laterality
    for group in _functional_groups(dataset):
        for anatomy in items_of(group, "FrameAnatomySequence"):
            laterality = _LATERALITIES.get(_word(anatomy, "FrameLaterality"), "")
            if laterality:
                return laterality
    return ""


def view_position_of(dataset: HasAttributes) -> str:
    """Tell which projection an image shows, for example ``CC`` or ``MLO``.

    Returns
    -------
    str
        View Position where it holds a mammographic view, as its name or in words, else what View
        Code Sequence says by a code, or in words where it has none, else
        Patient Orientation where it holds a view, which no legal value of it spells (CBIS-DDSM has
        it so); empty where none is known.

    References
    ----------
    PS3.3 C.8.11.7.1.1; PS3.16 CID 4014; IHE Radiology, Mammography Image profile.
    """
    position, _ = _named_view(_written_view(dataset))
    if position:
        return position
    for code in _view_codes(dataset):
        value = _word(code, "CodeValue")
        known = VIEW_POSITIONS.get(value)
        if known is None and not value:
            known = _VIEWS_BY_MEANING.get(_SEPARATORS.sub("", _word(code, "CodeMeaning")))
        if known is not None:
            return known
    orientation = _word(dataset, "PatientOrientation")
    return orientation if orientation in _KNOWN_VIEWS else ""


def view_modifiers_of(dataset: HasAttributes) -> tuple[str, ...]:
    """Name what makes the view a special one, in the words of CID 4015.

    Returns
    -------
    tuple of str
        Lower case, in the order of the data set, without repetition: ``spot compression``,
        ``magnification``, ``implant displaced`` and so on; first those of the codes, then those
        that View Position names (``MLOID``, ``CC S``), then those of the paddle. A code outside
        of the context group gives its own meaning.
    """
    modifiers = [
        VIEW_MODIFIERS.get(_word(item, "CodeValue"), _word(item, "CodeMeaning").lower())
        # Some equipment writes the modifiers beside the view and not into it.
        for holder in (*_view_codes(dataset), dataset)
        for item in items_of(holder, "ViewModifierCodeSequence")
    ]
    written = _written_view(dataset)
    _, named = _named_view(written)
    in_words = f"{written} {_word(dataset, 'PaddleDescription')}"
    by_paddle = [_PADDLES[word] for word in _PADDLE_WORD.findall(in_words)]
    return tuple(dict.fromkeys(filter(None, (*modifiers, *named, *by_paddle))))


def _named_view(word: str) -> tuple[str, tuple[str, ...]]:
    """Take a view's name apart, as equipment decorates it: ``M-L-O``, ``RMLO``, ``CC ID``.

    Returns
    -------
    position : empty if the word names no view
    modifiers : in the words of CID 4015
    """
    compact = _NUMBER_AT_THE_END.sub("", _SEPARATORS.sub("", word))
    if len(compact) > _LONGEST_NAME:
        return "", ()
    names = [compact, *(compact.removeprefix(side) for side in _SIDES if compact.startswith(side))]
    for name in names:
        if name in _KNOWN_VIEWS:
            return name, ()
        if name in _VIEWS_BY_MEANING:
            return _VIEWS_BY_MEANING[name], ()
    for is_prefixed in (False, True):
        for name in names:
            for start in range(1, len(name)) if is_prefixed else (0,):
                before = _modifiers_in(name[:start], _PREFIXES)
                found = None if before is None else _begins_with_view(name[start:])
                if before is not None and found is not None:
                    return found[0], (*before, *found[1])
    # "CC (left)": what follows is no name of ours.
    first = word.split()[:1]
    return (first[0], ()) if first and first[0] in _KNOWN_VIEWS else ("", ())


def _begins_with_view(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the view that a name begins with, and the modifiers that are the rest of it."""
    for position in _LONGEST_FIRST:
        if name.startswith(position):
            modifiers = _modifiers_in(name.removeprefix(position), _SUFFIXES)
            if modifiers is not None:
                return position, modifiers
    return None


def _modifiers_in(letters: str, known: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the modifiers that letters beside a view's name stand for; None if for nothing."""
    if not letters:
        return ()
    for one in sorted(known, key=len, reverse=True):
        if letters.startswith(one):
            rest = _modifiers_in(letters.removeprefix(one), known)
            if rest is not None:
                return (known[one], *rest)
    return None


def _written_view(dataset: HasAttributes) -> str:
    """Return View Position in capitals; some equipment gives a modifier as a second value."""
    value = value_of(dataset, "ViewPosition")
    if value is None or isinstance(value, (str, bytes)):
        return _word(dataset, "ViewPosition")
    try:
        return " ".join(str(word).strip(" \0").upper() for word in value)
    except TypeError:
        return ""


def _view_codes(dataset: HasAttributes) -> Iterator[HasAttributes]:
    yield from items_of(dataset, "ViewCodeSequence")
    for group in _functional_groups(dataset):
        for anatomy in items_of(group, "FrameAnatomySequence"):
            yield from items_of(anatomy, "ViewCodeSequence")
        for view in items_of(group, "ViewSequence"):
            yield from items_of(view, "ViewCodeSequence")


def _functional_groups(dataset: HasAttributes) -> Iterator[HasAttributes]:
    yield from items_of(dataset, "SharedFunctionalGroupsSequence")
    yield from items_of(dataset, "PerFrameFunctionalGroupsSequence")


def items_of(dataset: HasAttributes, keyword: str) -> list[HasAttributes]:
    """Return the items of a sequence; none where it is absent or cannot be read."""
    value = value_of(dataset, keyword)
    if value is None or isinstance(value, (str, bytes)):
        return []
    try:
        return [item for item in value if hasattr(item, "get")]
    except TypeError:
        return []


def _word(dataset: HasAttributes, keyword: str) -> str:
    """Return one value in capitals without outer spaces; empty if there is not exactly one word."""
    value = value_of(dataset, keyword)
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    if isinstance(value, bytes):
        value = value.decode("ascii", errors="ignore")
    return value.strip(" \0").upper() if isinstance(value, str) else ""


def value_of(dataset: HasAttributes, keyword: str) -> Any:
    """Return what the data set holds, or None where its bytes cannot be read as a value."""
    try:
        return dataset.get(keyword)
    except VALUE_ERRORS:
        return None
