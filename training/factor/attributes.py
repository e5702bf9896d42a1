"""What a finding is to a text encoder: the mean of the sentences that say it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.errors import SettingsError
from training.reports.report_synthesis import Attribute, Observation, positive_sentences
from training.reports.report_text import Report

SENTENCES_A_SIDE: Final = 400
"""As many as the published file has of a mass."""

_NEGATIONS: Final = frozenset({"no", "not", "without", "denies", "negative", "absent", "free"})
_BATCH: Final = 64


def synthesized_sentences(
    attribute: Attribute, *, a_side: int = SENTENCES_A_SIDE, seed: int = 10
) -> list[str]:
    """Draw distinct sentences that say an attribute of a left and of a right breast."""
    drawn = []
    for side in "LR":
        sentences = list(positive_sentences(Observation(attribute=attribute), side))
        generator = np.random.default_rng([seed, ord(side)])
        kept = generator.permutation(len(sentences))[:a_side]
        drawn += [sentences[place] for place in sorted(kept)]
    return drawn


def report_sentences(reports: Iterable[Report], attribute: Attribute) -> list[str]:
    """Return the distinct sentences of reports that name an attribute and deny nothing.

    Raises
    ------
    SettingsError
        There is none.
    """
    noun = f" {attribute.value.lower()} "
    found: dict[str, None] = {}
    for report in reports:
        for sentence in (*report.findings, *report.impression):
            words = sentence.lower().split()
            if noun in f" {' '.join(words)} " and not _NEGATIONS.intersection(words):
                found[sentence] = None
    if not found:
        raise SettingsError(
            f"the reports have no sentence that affirms {attribute.value.lower()!r}: "
            "use other reports or leave --reports out"
        )
    return list(found)


def attribute_embedding(
    embed: Callable[[Sequence[str]], Tensor], sentences: Sequence[str]
) -> Tensor:
    """Return the mean of the sentences' embeddings, (D,), brought back to L2 norm 1.

    Parameters
    ----------
    embed : texts to (N, D) of L2 norm 1
        For example `mammoclip_core.networks.text_model.TextModel`.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.3.
    """
    rows = [embed(sentences[start : start + _BATCH]) for start in range(0, len(sentences), _BATCH)]
    return functional.normalize(torch.cat(rows).float().mean(dim=0), dim=0)
