"""Sentences of a report from what is known of an image, in the words of BI-RADS, 5th edition."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import Final

import numpy as np

from training.reports.report_text import clean_section


class Attribute(StrEnum):
    """What an image may show, by the names of VinDr-Mammo."""

    MASS = "Mass"
    SUSPICIOUS_CALCIFICATION = "Suspicious Calcification"
    ARCHITECTURAL_DISTORTION = "Architectural Distortion"
    ASYMMETRY = "Asymmetry"
    FOCAL_ASYMMETRY = "Focal Asymmetry"
    GLOBAL_ASYMMETRY = "Global Asymmetry"
    SUSPICIOUS_LYMPH_NODE = "Suspicious Lymph Node"
    NIPPLE_RETRACTION = "Nipple Retraction"
    SKIN_RETRACTION = "Skin Retraction"
    SKIN_THICKENING = "Skin Thickening"


_QUADRANTS: Final = ("upper outer", "upper inner", "lower outer", "lower inner")
PLACES: Final = (
    *(
        f"{quadrant} quadrant at {depth} depth"
        for quadrant in _QUADRANTS
        for depth in ("anterior", "middle", "posterior")
    ),
    "retroareolar region",
    "central region",
    "axillary tail",
)
"""Depth is stated for quadrants only."""

_EXTENTS: Final = ("subtle", "slight", "evident", "marked", "pronounced")
"""Nothing that claims a former examination, such as "new"."""

_LEXICON: Final[Mapping[Attribute, tuple[str, Mapping[str, tuple[str, ...]]]]] = {
    Attribute.MASS: (
        "{shape} {margin} {density} mass",
        {
            "shape": ("oval", "round", "irregular"),
            "margin": ("circumscribed", "obscured", "microlobulated", "indistinct", "spiculated"),
            "density": ("high density", "equal density", "low density", "fat-containing"),
            "place": PLACES,
        },
    ),
    Attribute.SUSPICIOUS_CALCIFICATION: (
        "{morphology} suspicious calcification [distribution: in {distribution} distribution]",
        {
            "morphology": (
                "amorphous",
                "coarse heterogeneous",
                "fine pleomorphic",
                "fine linear",
                "fine linear branching",
            ),
            "distribution": ("diffuse", "regional", "grouped", "linear", "segmental"),
            "place": PLACES,
        },
    ),
    Attribute.ARCHITECTURAL_DISTORTION: (
        "{extent} architectural distortion {sign}",
        {
            "extent": _EXTENTS,
            "sign": (
                "with radiating lines",
                "with retraction of the parenchyma",
                "without a visible mass",
            ),
            "place": PLACES,
        },
    ),
    Attribute.ASYMMETRY: (
        "{extent} asymmetry on one view",
        {"extent": _EXTENTS, "place": PLACES},
    ),
    Attribute.FOCAL_ASYMMETRY: (
        "{extent} focal asymmetry",
        {"extent": _EXTENTS, "place": PLACES},
    ),
    Attribute.GLOBAL_ASYMMETRY: (
        "{extent} global asymmetry [place: centred]",
        {"extent": _EXTENTS, "place": PLACES},
    ),
    Attribute.SUSPICIOUS_LYMPH_NODE: (
        "{sign} suspicious lymph node",
        {
            "sign": ("enlarged", "rounded", "dense", "thickened"),
            "place": ("axillary region", "axillary tail"),
        },
    ),
    Attribute.NIPPLE_RETRACTION: (
        "{extent} nipple retraction",
        {"extent": _EXTENTS, "place": ("retroareolar region",)},
    ),
    Attribute.SKIN_RETRACTION: (
        "{extent} skin retraction",
        {"extent": _EXTENTS, "place": (*(f"{part} quadrant" for part in _QUADRANTS),)},
    ),
    Attribute.SKIN_THICKENING: (
        "{extent} skin thickening",
        {"extent": _EXTENTS, "place": (*(f"{part} quadrant" for part in _QUADRANTS),)},
    ),
}
_POSITIVE: Final = (
    ("{finding} in the {place} of the {side} breast", "{finding} in the {side} breast"),
    ("the {side} breast shows {finding} in the {place}", "the {side} breast shows {finding}"),
    ("{side} breast with {finding} in the {place}", "{side} breast with {finding}"),
    (
        "there is {finding} in the {place} of the {side} breast",
        "there is {finding} in the {side} breast",
    ),
)
"""Each with a place and without one."""

_IF_SAID: Final = re.compile(r"\[(\w+): ([^]]*)\]")
"""Words of a phrase that stand only if a term is said: ``[term: words]``."""

_AND: Final = " and "
_NEGATIVE: Final = (
    "no {noun} in the {side} breast",
    "there is no {noun} in the {side} breast",
    "the {side} breast shows no {noun}",
    "no evidence of {noun} in the {side} breast",
)
_SIDES: Final = {"L": "left", "R": "right"}
_COMPOSITIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "A": ("the breasts are almost entirely fatty", "the breast tissue is almost entirely fatty"),
    "B": (
        "there are scattered areas of fibroglandular density",
        "the breasts show scattered areas of fibroglandular density",
    ),
    "C": (
        "the breasts are heterogeneously dense",
        "the breast tissue is heterogeneously dense which may obscure small masses",
    ),
    "D": (
        "the breasts are extremely dense",
        "the breast tissue is extremely dense which lowers the sensitivity of mammography",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """An attribute that an image shows, with the terms that are known; others are drawn.

    Attributes
    ----------
    terms : slot to word
        Slots and words are those of `slots_of`, several words joined by ``and``; an empty one is
        left out of sentences.
    """

    attribute: Attribute
    terms: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        slots = slots_of(self.attribute)
        for slot, word in self.terms.items():
            if slot not in slots or (word and not set(word.split(_AND)) <= set(slots[slot])):
                raise ValueError(f"the lexicon of {self.attribute} has no {slot} {word!r}")


def slots_of(attribute: Attribute) -> Mapping[str, tuple[str, ...]]:
    """Return what is said of an attribute (shape, margin, place and so on) and in which words."""
    return _LEXICON[attribute][1]


def positive_sentences(observation: Observation, laterality: str) -> Iterator[str]:
    """Yield every sentence that says that a breast, L or R, shows this."""
    slots = slots_of(observation.attribute)
    known = [(observation.terms[s],) if s in observation.terms else slots[s] for s in slots]
    for templates in _POSITIVE:
        for words in product(*known):
            yield _positive(observation.attribute, laterality, templates, words)


def negative_sentences(attribute: Attribute, laterality: str) -> Iterator[str]:
    """Yield every sentence that says that a breast, L or R, does not show the attribute."""
    noun, side = attribute.value.lower(), _SIDES[laterality]
    return (template.format(noun=noun, side=side) for template in _NEGATIVE)


def density_sentences(category: str) -> tuple[str, ...]:
    """Return the sentences that say a breast composition, A to D."""
    return _COMPOSITIONS[category]


def synthesize_report(
    observations: Sequence[Observation], laterality: str, generator: np.random.Generator
) -> tuple[str, ...]:
    """Write one view's report: a sentence for each observation, one for each attribute without.

    Sentences are clean as `clean_section` leaves them, distinct, and in random order.
    """
    shown = {observation.attribute for observation in observations}
    sentences = [_draw_positive(observation, laterality, generator) for observation in observations]
    for attribute in Attribute:
        if attribute not in shown:
            choices = list(negative_sentences(attribute, laterality))
            sentences.append(choices[generator.integers(len(choices))])
    distinct = list(dict.fromkeys(sentences))
    return tuple(distinct[place] for place in generator.permutation(len(distinct)))


def _draw_positive(
    observation: Observation, laterality: str, generator: np.random.Generator
) -> str:
    words = []
    for slot, choices in slots_of(observation.attribute).items():
        drawn = choices[generator.integers(len(choices))]
        words.append(observation.terms.get(slot, drawn))
    templates = _POSITIVE[generator.integers(len(_POSITIVE))]
    return _positive(observation.attribute, laterality, templates, words)


def _positive(
    attribute: Attribute, laterality: str, templates: tuple[str, str], words: Sequence[str]
) -> str:
    phrase, slots = _LEXICON[attribute]
    chosen = dict(zip(slots, words, strict=True))
    template = templates[0 if chosen["place"] else 1]
    finding = _IF_SAID.sub(lambda found: found[2] if chosen[found[1]] else "", phrase)
    finding = finding.format(**chosen)
    (sentence,) = clean_section(
        template.format(finding=finding, place=chosen["place"], side=_SIDES[laterality])
    )
    return sentence
