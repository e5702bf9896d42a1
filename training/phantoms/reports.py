"""Reports of phantom breasts: findings and impression as cleaned sentences."""

from typing import Final

import numpy as np

from training.phantoms.patient import Breast, Patient
from training.reports.report_synthesis import density_sentences, synthesize_report
from training.reports.report_text import Report, clean_section

_SIDES: Final = {"L": "left", "R": "right"}
_ASSESSMENTS: Final = {
    1: "negative",
    2: "benign",
    3: "probably benign",
    4: "suspicious",
    5: "highly suggestive of malignancy",
}


def write_report(patient: Patient, breast: Breast, version: int = 0) -> Report:
    """Write a breast's report; other versions say the same in other words."""
    key = [patient.seed, patient.number, ord(breast.laterality), version]
    generator = np.random.default_rng([*key, 7])
    observations = [lesion.observation for lesion in breast.lesions]
    findings = synthesize_report(observations, breast.laterality, generator)
    compositions = density_sentences(patient.density)
    composition = compositions[generator.integers(len(compositions))]
    side, assessment = _SIDES[breast.laterality], _ASSESSMENTS[breast.birads]
    names = " and ".join(item.attribute.value.lower() for item in observations)
    summary = f"{names} in the {side} breast" if names else f"no abnormality in the {side} breast"
    category = f"BI-RADS category {breast.birads} {assessment}"
    return Report(
        findings=(composition, *findings), impression=clean_section(f"{summary}. {category}.")
    )
