"""Patients of the varied family: what a counter of bright dots cannot tell apart.

Every line of machines has its own sharpness, noise and tone; the gland's shares of neighbouring
density classes overlap as readers' do; nearly every breast has groups of benign calcifications,
and what is suspicious of a group is its form, never its place, size or brightness, nor how many
dots are counted.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from mammoclip_core.findings import DENSITY_CATEGORIES
from training.phantoms.family import Family
from training.phantoms.machine import MACHINE_IDS, draw_machine
from training.phantoms.patient import (
    CLUSTER_MM,
    DENSITY_FREQUENCIES,
    KINDS,
    SPECKS,
    STREAMS,
    Breast,
    Lesion,
    Patient,
    SpeckGroup,
    draw_age,
    draw_distortion_facts,
    draw_mass_facts,
    placed,
)
from training.reports.report_synthesis import Attribute

ROUND: Final = "round"
"""Form of the calcifications of a benign group."""

VARIED_LOOKS: Final[Mapping[str, tuple[float, float, float, float, float, float]]] = {
    ROUND: (0.45, 0.85, 1.0, 1.15, 380.0, 950.0),
    "coarse heterogeneous": (0.65, 1.25, 1.7, 2.8, 380.0, 900.0),
    "fine pleomorphic": (0.6, 1.5, 1.6, 4.5, 330.0, 950.0),
    "fine linear": (0.9, 1.7, 3.2, 5.0, 380.0, 900.0),
    "fine linear branching": (0.9, 1.5, 3.2, 5.0, 380.0, 900.0),
}
"""As `calcifications.LOOKS`; the areas of all forms are about the same."""

VARIED_SPECKS: Final[Mapping[str, tuple[int, int]]] = {
    ROUND: (7, 25),
    "coarse heterogeneous": SPECKS,
    "fine pleomorphic": SPECKS,
    "fine linear": SPECKS,
    "fine linear branching": (4, 12),
}
"""Least and greatest number in a group: a long one is easily counted twice, a branching one is."""

_GLAND_SHARES: Final = ((0.085, 0.055), (0.265, 0.085), (0.52, 0.105), (0.79, 0.10))
"""Mean and standard deviation of the share of gland in what readers call A to D."""

_BENIGN_GROUPS: Final = (0.04, 0.46, 0.33, 0.17)
"""How often a breast has 0, 1, 2 or 3 groups of benign calcifications."""

_IN_PLACE_OF_BENIGN: Final = 0.5
"""How often a suspicious group takes the place of one of several benign ones.

Else it stands beside them. A counter of round dots sees about a third of the calcifications of a
suspicious group: so what it counts is much the same with and without one.
"""

_DISTRIBUTIONS: Final = ("grouped", "linear", "segmental")
_DISTRIBUTION_FREQUENCIES: Final = (0.6, 0.2, 0.2)
_BIRADS: Final = {"coarse heterogeneous": 4, "fine pleomorphic": 4}


def draw_varied_patient(seed: int, number: int, family: Family = Family.VARIED) -> Patient:
    """Draw a patient: the same for the same seed and number, whatever else is drawn.

    Parameters
    ----------
    family : whose stream of patients, and by whose rules they are shown
    """
    generator = np.random.default_rng([seed, number, *STREAMS[family]])
    density = int(generator.choice(4, p=DENSITY_FREQUENCIES))
    mean, deviation = _GLAND_SHARES[density]
    share = float(generator.normal(mean, deviation))
    machine_id = int(generator.choice(MACHINE_IDS))
    return Patient(
        family=family,
        seed=seed,
        number=number,
        age=draw_age(density, generator),
        machine_id=machine_id,
        machine=draw_machine(machine_id, generator),
        spacing_mm=round(float(generator.uniform(0.10, 0.15)), 3),
        has_marker=bool(generator.random() < 0.92),
        density=DENSITY_CATEGORIES[density],
        breasts=(_draw_breast("R", share, generator), _draw_breast("L", share, generator)),
    )


def _draw_breast(laterality: str, share: float, generator: np.random.Generator) -> Breast:
    """Draw one breast; every second one has no lesion."""
    kinds: tuple[Attribute, ...] = ()
    if generator.random() < 0.5:
        kinds = KINDS[generator.choice(len(KINDS), p=[frequency for frequency, _ in KINDS])][1]
    is_suspicious = Attribute.SUSPICIOUS_CALCIFICATION in kinds
    benign = int(generator.choice(len(_BENIGN_GROUPS), p=_BENIGN_GROUPS))
    if is_suspicious and benign > 1 and generator.random() < _IN_PLACE_OF_BENIGN:
        benign -= 1
    return Breast(
        laterality=laterality,
        gland_share=float(np.clip(share + generator.normal(0.0, 0.015), 0.02, 0.92)),
        lesions=tuple(_DRAW[kind](generator) for kind in kinds),
        benign=tuple(_draw_benign(generator) for _ in range(benign)),
    )


def _draw_calcifications(generator: np.random.Generator) -> Lesion:
    morphology = str(generator.choice([name for name in VARIED_LOOKS if name != ROUND]))
    distribution, size_mm = _draw_extent(generator)
    return placed(
        Attribute.SUSPICIOUS_CALCIFICATION,
        {"morphology": morphology, "distribution": distribution},
        size_mm=size_mm,
        contrast=0.0,
        birads=_BIRADS.get(morphology, 5),
        generator=generator,
    )


def _draw_benign(generator: np.random.Generator) -> SpeckGroup:
    distribution, size_mm = _draw_extent(generator)
    # The place is drawn as a lesion's is, so that it tells nothing.
    where = placed(
        Attribute.SUSPICIOUS_CALCIFICATION,
        {},
        size_mm=size_mm,
        contrast=0.0,
        birads=3,
        generator=generator,
    )
    return SpeckGroup(
        morphology=ROUND,
        distribution=distribution,
        size_mm=size_mm,
        depth=where.depth,
        outer=where.outer,
        upper=where.upper,
        seed=where.seed,
    )


def _draw_extent(generator: np.random.Generator) -> tuple[str, float]:
    distribution = str(generator.choice(_DISTRIBUTIONS, p=_DISTRIBUTION_FREQUENCIES))
    return distribution, float(generator.uniform(*CLUSTER_MM[distribution]))


_DRAW: Final = {
    Attribute.MASS: draw_mass_facts,
    Attribute.SUSPICIOUS_CALCIFICATION: _draw_calcifications,
    Attribute.ARCHITECTURAL_DISTORTION: draw_distortion_facts,
}
