"""Which breast and which view an image shows, read from any data set without importing pydicom."""

import re
from collections.abc import Iterator
from typing import Any, Final, Protocol

from mammoclip_core.images.header.written_view import (
    KNOWN_VIEWS,
    VIEW_MODIFIERS,
    VIEW_POSITIONS,
    VIEWS_BY_MEANING,
    WrittenView,
    modifiers_by_meaning,
    one_word,
    written_view,
)

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

_PADDLES: Final = {
    "SPOT": "spot compression",
    "SPT": "spot compression",
    "MAG": "magnification",
}
"""Words in Paddle Description (0018,11A4) that say what the view's name may not."""
_PADDLE_WORD: Final = re.compile(r"(?<![A-Z])(SPOT|SPT|MAG)")

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
        of an enhanced multi-frame image, else the side that View Position names (``RCC``); empty
        if none of them has a usable value, or if View Position names the other breast.

    References
    ----------
    PS3.3 C.8.11.7.1.1 (Image Laterality), C.7.3.1 (Laterality), C.7.6.16.2.8 (Frame Anatomy).
    """
    stated, written = _stated_laterality(dataset), _view_position(dataset).side
    return "" if _are_opposite(stated, written) else stated or written


def contradictions_of(dataset: HasAttributes) -> tuple[str, ...]:
    """Say which values name different breasts or views, and which of them counts; mostly none.

    References
    ----------
    PS3.3 C.8.11.7: View Code Sequence is required (type 1), View Position is not (type 3).
    """
    written, word = _view_position(dataset), _written_view(dataset)
    stated, coded = _stated_laterality(dataset), _coded_view(dataset)
    found: list[str] = []
    if _are_opposite(stated, written.side):
        found.append(
            f"View Position {word} is of breast {written.side}, the laterality says {stated}: "
            "it is unknown which breast the image shows"
        )
    if coded and written.position != coded and written.position in VIEW_POSITIONS.values():
        found.append(f"View Position is {word}, View Code Sequence says {coded}: the code counts")
    return tuple(found)


def _are_opposite(one: str, other: str) -> bool:
    return {one, other} == {"L", "R"}


def _stated_laterality(dataset: HasAttributes) -> str:
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
        What View Code Sequence says by a code, or in words where it has none, else View Position
        where it holds a mammographic view, as its name or in words; this counts before a code if
        it says more, as ``AT`` does (axillary tail). Else
        Patient Orientation where it holds a view, which no legal value of it spells (CBIS-DDSM has
        it so); empty where none is known.

    References
    ----------
    PS3.3 C.8.11.7.1.1; PS3.16 CID 4014; IHE Radiology, Mammography Image profile.
    """
    written, coded = _view_position(dataset).position, _coded_view(dataset)
    if coded and (not written or written in VIEW_POSITIONS.values()):
        return coded
    orientation = _word(dataset, "PatientOrientation")
    return written or (orientation if orientation in KNOWN_VIEWS else "")


def _coded_view(dataset: HasAttributes) -> str:
    for code in _view_codes(dataset):
        value = _word(code, "CodeValue")
        known = VIEW_POSITIONS.get(value)
        if known is None and not value:
            known = VIEWS_BY_MEANING.get(one_word(_word(code, "CodeMeaning")))
        if known is not None:
            return known
    return ""


def view_modifiers_of(dataset: HasAttributes) -> tuple[str, ...]:
    """Name what makes the view a special one, in the words of CID 4015.

    Returns
    -------
    tuple of str
        Lower case, in the order of the data set, without repetition: ``spot compression``,
        ``magnification``, ``implant displaced`` and so on; first those of the codes, then those
        that View Position names (``MLOID``, ``CC S``), then those of the paddle. What is neither a
        code nor a name that is known is given in its own words.
    """
    modifiers = [
        words
        # Some equipment writes the modifiers beside the view and not into it.
        for holder in (*_view_codes(dataset), dataset)
        for item in items_of(holder, "ViewModifierCodeSequence")
        for words in _modifiers_coded(item)
    ]
    written = _written_view(dataset)
    named = _view_position(dataset).modifiers
    in_words = f"{written} {_word(dataset, 'PaddleDescription')}"
    by_paddle = [_PADDLES[word] for word in _PADDLE_WORD.findall(in_words)]
    return tuple(dict.fromkeys(filter(None, (*modifiers, *named, *by_paddle))))


def _modifiers_coded(item: HasAttributes) -> tuple[str, ...]:
    known = VIEW_MODIFIERS.get(_word(item, "CodeValue"))
    return (known,) if known else modifiers_by_meaning(_word(item, "CodeMeaning"))


def _view_position(dataset: HasAttributes) -> WrittenView:
    return written_view(_written_view(dataset))


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
