"""What the name of a view means, as equipment writes it: ``RMLO``, ``CC ID``, ``M-L-O``."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

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

VIEWS_BY_MEANING: Final = {
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
    "XCCLAT": "XCCL",
    "XCCMED": "XCCM",
    "TISSUESPECIMENFROMBREAST": "SPECIMEN",
    "AXILLARYTAIL": "AT",
    "CLEAVAGE": "CV",
    "CLEAVAGEVIEW": "CV",
    "TANGENTIAL": "TAN",
    "ROLLEDLATERAL": "RL",
    "ROLLEDMEDIAL": "RM",
}
"""Meanings of the codes, written as one word: equipment gives them in place of a code or name."""

KNOWN_VIEWS: Final = frozenset(VIEW_POSITIONS.values()) | _VIEWS_OF_EQUIPMENT
"""Everything that a view is called here."""

_SUFFIXES: Final = {
    **{letters: words for words, letters in MODIFIER_LETTERS.items()},
    **{re.sub("[^a-z]", "", words).upper(): words for words in MODIFIER_LETTERS},
    "IMPLANT": "implant displaced",
    "EKLUND": "implant displaced",
    "ECLUND": "implant displaced",
    "MAG": "magnification",
    "MAGNIFIED": "magnification",
    "NIPPLE": "nipple in profile",
    "ROLLED": "rolled",
    "SPOT": "spot compression",
    # These do not change the view; LE is the low-energy image of a contrast study.
    **dict.fromkeys(("2D", "COMP", "CVIEW", "LE", "REP", "REPEAT", "SVIEW", "SYNTH"), ""),
    **dict.fromkeys(("VIEW", "VIEWS"), ""),
}
"""What equipment adds to the name of a view, by the labels of the ACR and of IHE Mammography."""

_PREFIXES: Final = {
    letters: words
    for letters, words in _SUFFIXES.items()
    if words in {"spot compression", "magnification", "implant displaced"}
}
"""What stands before the name as well: the ACR puts an M before that of a magnified view."""

_SIDES: Final = ("LEFT", "RIGHT", "L", "R")
_LATERAL: Final = re.compile(r"[LR]?LAT")
"""A lateral view that is not said to be ML or LM: no AT of the left breast, and no RL."""
_NUMBER_AT_THE_END: Final = re.compile(r"[1-9][0-9]?X?$")
"""Of a repeated view, or of a magnification: "CC 2", "CC MAG 1.8X"."""
_LONGEST_NAME: Final = 64

_LONGEST_FIRST: Final = sorted(KNOWN_VIEWS, key=lambda view: (-len(view), view))
_SEPARATORS: Final = re.compile(r"[\s\-_/.,()]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenView:
    """What the name of a view says.

    Attributes
    ----------
    position : for example ``MLO``; empty if the name is that of no view
    modifiers : in the words of CID 4015; what is unknown beside a view in its own words
    side : ``L``, ``R`` or empty
    """

    position: str = ""
    modifiers: tuple[str, ...] = ()
    side: str = ""


def written_view(word: str) -> WrittenView:
    """Take a view's name apart, as equipment decorates it: ``M-L-O``, ``RMLO``, ``CC ID``.

    Parameters
    ----------
    word : in capitals

    References
    ----------
    PS3.16 CID 4014 and CID 4015; IHE Radiology, Mammography Image profile.
    """
    compact = _NUMBER_AT_THE_END.sub("", one_word(word))
    parts = [part for part in _SEPARATORS.split(word) if part]
    but_side = [part for part in parts if part not in _SIDES]
    if len(compact) > _LONGEST_NAME or _LATERAL.fullmatch(" ".join(but_side)):
        return WrittenView()
    names = tuple(_names_in(compact, parts))
    for side, name in names:
        position = name if name in KNOWN_VIEWS else VIEWS_BY_MEANING.get(name, "")
        if position:
            return WrittenView(position=position, side=side)
    for is_prefixed in (False, True):
        for side, name in names:
            for start in range(1, len(name)) if is_prefixed else (0,):
                before = _modifiers_in(name[:start], _PREFIXES)
                found = None if before is None else _begins_with_view(name[start:])
                if before is not None and found is not None:
                    modifiers = tuple(filter(None, (*before, *found[1])))
                    return WrittenView(position=found[0], modifiers=modifiers, side=side)
    return _view_and_rest(word.split())


def modifiers_by_meaning(meaning: str) -> tuple[str, ...]:
    """Return the modifiers that a Code Meaning names; of one that is unknown its own words."""
    known = _modifiers_in(one_word(meaning.upper())[:_LONGEST_NAME], _SUFFIXES) or ()
    return tuple(filter(None, known)) or (meaning.lower(),)


def one_word(words: str) -> str:
    """Return words without what separates them."""
    return _SEPARATORS.sub("", words)


def _names_in(compact: str, parts: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the name, and what is left of it where a side stands before or behind it."""
    yield "", compact
    while len(parts) > 1 and _NUMBER_AT_THE_END.match(parts[-1]):
        parts = parts[:-1]
    if len(parts) > 1 and parts[-1] in _SIDES:
        yield parts[-1][0], compact.removesuffix(parts[-1])
    for side in _SIDES:
        if compact.startswith(side):
            yield side[0], compact.removeprefix(side)
    for side in _SIDES:
        # An L at the very end may mean laterally, as in XCCL.
        if compact.endswith(side) and side != "L":
            yield side[0], compact.removesuffix(side)


def _view_and_rest(words: list[str]) -> WrittenView:
    """Read a view that words follow of which some are not known: it is not the plain view."""
    if not words or words[0] not in KNOWN_VIEWS:
        return WrittenView()
    side = ""
    modifiers: list[str] = []
    unknown: list[str] = []
    for word in map(one_word, words[1:]):
        known = _modifiers_in(word, _SUFFIXES)
        if word in _SIDES:
            side = word[0]
        elif known is not None:
            modifiers.extend(filter(None, known))
        elif re.search("[A-Z]", word):
            unknown.append(word.lower())
    if unknown:
        modifiers.append(" ".join(unknown))
    return WrittenView(position=words[0], modifiers=tuple(modifiers), side=side)


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
