"""What a phantom patient has: breasts, composition, lesions, in millimetres and BI-RADS words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from mammoclip_core.findings import DENSITY_CATEGORIES
from training.phantoms.family import Family
from training.phantoms.machine import Machine
from training.reports.report_synthesis import Attribute, Observation

MASS_MM: Final = (6.0, 30.0)
"""Longest diameter of a mass."""

SPECKS: Final = (5, 20)
"""Number of calcifications in a cluster."""

SPECK_MM: Final = (0.3, 1.0)
"""Longest extent of one calcification."""

_GLAND_SHARES: Final = ((0.04, 0.13), (0.19, 0.34), (0.44, 0.60), (0.70, 0.88))
"""Share of the breast's area that is fibroglandular, for A to D."""

DENSITY_FREQUENCIES: Final = (0.15, 0.35, 0.35, 0.15)

KINDS: Final[tuple[tuple[float, tuple[Attribute, ...]], ...]] = (
    (0.40, (Attribute.MASS,)),
    (0.36, (Attribute.SUSPICIOUS_CALCIFICATION,)),
    (0.12, (Attribute.MASS, Attribute.SUSPICIOUS_CALCIFICATION)),
    (0.12, (Attribute.ARCHITECTURAL_DISTORTION,)),
)
"""What an affected breast has, and how often."""

_MARGINS: Final[Mapping[str, tuple[float, ...]]] = {
    "oval": (0.40, 0.20, 0.20, 0.20, 0.00),
    "round": (0.40, 0.20, 0.20, 0.20, 0.00),
    "irregular": (0.00, 0.10, 0.20, 0.25, 0.45),
}
"""How often each margin of the lexicon goes with a shape."""

_MARGIN_WORDS: Final = ("circumscribed", "obscured", "microlobulated", "indistinct", "spiculated")
CLUSTER_MM: Final[Mapping[str, tuple[float, float]]] = {
    "grouped": (6.0, 16.0),
    "linear": (14.0, 28.0),
    "segmental": (20.0, 36.0),
    "regional": (24.0, 40.0),
    "diffuse": (60.0, 90.0),
}
"""Extent of the calcifications of each distribution."""

_DISTRIBUTION_FREQUENCIES: Final = (0.52, 0.18, 0.16, 0.09, 0.05)
_MORPHOLOGIES: Final = (
    "amorphous",
    "coarse heterogeneous",
    "fine pleomorphic",
    "fine linear",
    "fine linear branching",
)
_CANCER: Final[Mapping[int, float]] = {1: 0.0, 2: 0.0, 3: 0.02, 4: 0.3, 5: 0.95}
"""Share of cancers among the findings of each BI-RADS category."""


_LETTERS: Final = {Family.PLAIN: "S", Family.VARIED: "V", Family.FILAMENT: "F"}

STREAMS: Final[Mapping[Family, tuple[int, ...]]] = {
    Family.PLAIN: (),
    Family.VARIED: (2,),
    Family.FILAMENT: (3,),
}
"""What a family adds to seed and number, so that its patients are nobody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One finding of a breast: the same one on both of its views.

    Attributes
    ----------
    observation : what a report says of it
    size_mm : mm
        Longest extent.
    depth : [0, 1]
        Where between nipple (0) and chest wall (1) it lies.
    outer, upper : [-1, 1]
        Where between the inner (lower) and the outer (upper) edge of the breast.
    contrast : standard deviations of the local texture
        What its densest point adds to the tissue; nothing for calcifications.
    birads : 3, 4 or 5
    seed : seed of its form
    """

    observation: Observation
    size_mm: float
    depth: float
    outer: float
    upper: float
    contrast: float
    birads: int
    is_cancer: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeckGroup:
    """A group of benign calcifications: the same one on both views, no finding.

    Attributes
    ----------
    size_mm, depth, outer, upper, seed : as of a `Lesion`
    """

    morphology: str
    distribution: str
    size_mm: float
    depth: float
    outer: float
    upper: float
    seed: int
    contrast: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breast:
    """One breast and what it has.

    Attributes
    ----------
    laterality : ``L`` or ``R``
    gland_share : [0, 1]
        Share of the projected breast that is fibroglandular tissue.
    """

    laterality: str
    gland_share: float
    lesions: tuple[Lesion, ...]
    benign: tuple[SpeckGroup, ...] = ()

    @property
    def birads(self) -> int:
        """Return the assessment of the breast: that of its most suspicious lesion, else 1."""
        return max((lesion.birads for lesion in self.lesions), default=1)

    @property
    def is_cancer(self) -> bool:
        """Tell whether one of the lesions is malignant."""
        return any(lesion.is_cancer for lesion in self.lesions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One phantom patient.

    Attributes
    ----------
    number : 0 or more
        Which patient of the seed's endless row.
    spacing_mm : mm a pixel of the full picture, 1520 x 912
    density : ``A`` to ``D``
    breasts : right, left
    machine : None for the plain family's, which is always the same
    """

    seed: int
    number: int
    age: int
    machine_id: int
    spacing_mm: float
    has_marker: bool
    density: str
    breasts: tuple[Breast, Breast]
    machine: Machine | None = None
    family: Family = Family.PLAIN

    @property
    def patient_id(self) -> str:
        """Return a name that tells family, seed and number."""
        return f"{_LETTERS[self.family]}{self.seed}N{self.number:06d}"

    @property
    def key(self) -> tuple[int, ...]:
        """Return what random numbers of this patient begin with: no two patients share it."""
        return (self.seed, self.number, *STREAMS[self.family])

    @property
    def split(self) -> str:
        """Return ``training`` or ``test``: every fifth patient is for the test."""
        return "test" if self.number % 5 == 4 else "training"

    @property
    def fold(self) -> int:
        """Return the fold, 0 to 3."""
        return self.number // 5 % 4


def draw_patient(seed: int, number: int) -> Patient:
    """Draw a patient: the same for the same seed and number, whatever else is drawn."""
    generator = np.random.default_rng([seed, number])
    density = int(generator.choice(4, p=DENSITY_FREQUENCIES))
    return Patient(
        seed=seed,
        number=number,
        age=draw_age(density, generator),
        machine_id=int(generator.choice((29, 48, 49, 93))),
        spacing_mm=round(float(generator.uniform(0.10, 0.15)), 3),
        has_marker=bool(generator.random() < 0.92),
        density=DENSITY_CATEGORIES[density],
        breasts=(_draw_breast("R", density, generator), _draw_breast("L", density, generator)),
    )


def draw_age(density: int, generator: np.random.Generator) -> int:
    """Draw an age in years; dense breasts are younger."""
    return int(np.clip(generator.normal(62.0 - 4.0 * density, 9.0), 35, 89))


def _draw_breast(laterality: str, density: int, generator: np.random.Generator) -> Breast:
    """Draw one breast; every second one has nothing."""
    kinds: tuple[Attribute, ...] = ()
    if generator.random() < 0.5:
        frequencies = [frequency for frequency, _ in KINDS]
        kinds = KINDS[generator.choice(len(KINDS), p=frequencies)][1]
    return Breast(
        laterality=laterality,
        gland_share=float(generator.uniform(*_GLAND_SHARES[density])),
        lesions=tuple(_DRAW[kind](generator) for kind in kinds),
    )


def draw_mass_facts(generator: np.random.Generator) -> Lesion:
    """Draw what a mass is like."""
    shape = str(generator.choice(("oval", "round", "irregular"), p=(0.34, 0.22, 0.44)))
    margin = str(generator.choice(_MARGIN_WORDS, p=_MARGINS[shape]))
    density, contrast = (
        ("high density", generator.uniform(1.42, 1.5)),
        ("equal density", generator.uniform(1.34, 1.42)),
        ("low density", generator.uniform(1.25, 1.34)),
    )[generator.choice(3, p=(0.55, 0.30, 0.15))]
    if margin == "spiculated":
        birads = 5
    elif shape == "irregular" or margin in {"microlobulated", "indistinct"}:
        birads = int(generator.choice((4, 5), p=(0.8, 0.2)))
    else:
        birads = int(generator.choice((3, 4), p=(0.8, 0.2)))
    terms = {"shape": shape, "margin": margin, "density": density}
    return placed(
        Attribute.MASS,
        terms,
        size_mm=float(generator.uniform(*MASS_MM)),
        contrast=float(contrast),
        birads=birads,
        generator=generator,
    )


def _draw_calcifications(generator: np.random.Generator) -> Lesion:
    distribution = str(generator.choice(tuple(CLUSTER_MM), p=_DISTRIBUTION_FREQUENCIES))
    morphology = str(generator.choice(_MORPHOLOGIES))
    is_ductal = morphology.startswith("fine linear") or distribution in {"linear", "segmental"}
    birads = int(generator.choice((4, 5), p=(0.4, 0.6) if is_ductal else (0.85, 0.15)))
    terms = {"morphology": morphology, "distribution": distribution}
    size = float(generator.uniform(*CLUSTER_MM[distribution]))
    return placed(
        Attribute.SUSPICIOUS_CALCIFICATION,
        terms,
        size_mm=size,
        contrast=0.0,
        birads=birads,
        generator=generator,
    )


def draw_distortion_facts(generator: np.random.Generator) -> Lesion:
    """Draw what an architectural distortion is like."""
    terms = {"sign": "with radiating lines"}
    size, contrast = float(generator.uniform(18.0, 36.0)), float(generator.uniform(1.2, 1.5))
    return placed(
        Attribute.ARCHITECTURAL_DISTORTION,
        terms,
        size_mm=size,
        contrast=contrast,
        birads=4,
        generator=generator,
    )


_DRAW: Final = {
    Attribute.MASS: draw_mass_facts,
    Attribute.SUSPICIOUS_CALCIFICATION: _draw_calcifications,
    Attribute.ARCHITECTURAL_DISTORTION: draw_distortion_facts,
}


def placed(
    attribute: Attribute,
    terms: dict[str, str],
    *,
    size_mm: float,
    contrast: float,
    birads: int,
    generator: np.random.Generator,
) -> Lesion:
    """Give a lesion its place in the breast, and the words for it."""
    depth = float(generator.uniform(0.2, 0.85))
    outer = float(generator.uniform(0.15, 0.7) * generator.choice((1.0, -1.0), p=(0.62, 0.38)))
    upper = float(generator.uniform(0.15, 0.7) * generator.choice((1.0, -1.0), p=(0.6, 0.4)))
    quadrant = f"{'upper' if upper > 0 else 'lower'} {'outer' if outer > 0 else 'inner'}"
    level = ("anterior", "middle", "posterior")[min(int(depth * 3), 2)]
    return Lesion(
        observation=Observation(
            attribute=attribute, terms={**terms, "place": f"{quadrant} quadrant at {level} depth"}
        ),
        size_mm=size_mm,
        depth=depth,
        outer=outer,
        upper=upper,
        contrast=contrast,
        birads=birads,
        is_cancer=bool(generator.random() < _CANCER[birads]),
        seed=int(generator.integers(2**32)),
    )
