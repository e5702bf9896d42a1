"""The two texts of a breast: drawn from its report, or written from its images' labels."""

import numpy as np

from mammoclip_core.lexicon import DENSITY
from training.data.breast_records import BreastRecord, ImageLabels
from training.reports.report_synthesis import Attribute, synthesize_report
from training.reports.report_text import draw_texts, shuffled, to_text


def texts_of(
    record: BreastRecord,
    images: tuple[str, str],
    generator: np.random.Generator,
    *,
    excerpt_share: float = 0.0,
) -> tuple[str, str]:
    """Draw two texts for two images of a breast.

    From a report: two of its sections, each replaced by its own back-translation every second time
    where there is one. From labels: one report an image.

    Parameters
    ----------
    excerpt_share : [0, 1]
        How often a text written from labels is cut down to a few of its sentences, so that the
        text encoder also learns from texts as short as prompts. The paper does not do this.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.1.
    """
    if record.report is not None:
        return draw_texts(record.report, generator, record.augmented)
    first, second = (
        _written(record.labels[name], record.laterality, generator, excerpt_share)
        for name in images
    )
    return first, second


def density_sentence(density: str) -> str:
    """Say a density category, ``A`` to ``D``, in the words of BI-RADS."""
    return DENSITY.prompts["ABCD".index(density)]


def _written(
    labels: ImageLabels, laterality: str, generator: np.random.Generator, excerpt_share: float
) -> str:
    sentences = list(synthesize_report(labels.observations, laterality, generator))
    if labels.density:
        sentences.append(density_sentence(labels.density))
    if generator.random() >= excerpt_share:
        return to_text(shuffled(sentences, generator))
    shown = {item.attribute for item in labels.observations}
    brief = [
        f"{'' if attribute in shown else 'no '}{attribute.value.lower()}"
        for attribute in (Attribute.MASS, Attribute.SUSPICIOUS_CALCIFICATION)
    ]
    if labels.density:
        brief.append(density_sentence(labels.density))
    kept = generator.permutation(len(brief))[: generator.integers(1, len(brief) + 1)]
    return to_text([brief[place] for place in kept])
