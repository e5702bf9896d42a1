"""Which report belongs to an image: how far ahead its own stands among all, by similarity."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.engines.embeddings import load_text_model
from training.evaluation.suite_input import SuiteInput
from training.measures.figures import Figure
from training.measures.intervals import bootstrap
from training.measures.score_measures import ranks_of_own_texts

TASK: Final = "image to report retrieval"
_KS: Final = (1, 5, 10, 15)
_BATCH: Final = 64


def retrieval_figures(given: SuiteInput) -> list[Figure]:
    """Judge retrieval: each image of a breast is asked for its report among the distinct ones."""
    if given.reports is None:
        return []
    if not given.manifest.text_encoder:
        remark = "the bundle has no text encoder"
        return [Figure(task=TASK, setting="zero-shot", measure="recall@1", remark=remark)]
    asked = given.reports
    images = given.features_of(asked.files)
    model = load_text_model(given.bundle)
    embedded = np.concatenate(
        [
            model(list(asked.texts[start : start + _BATCH])).numpy()
            for start in range(0, len(asked.texts), _BATCH)
        ]
    )
    ranks = ranks_of_own_texts(images.embeddings, embedded, asked.own)
    values = {f"recall@{k}": ranks <= k for k in _KS} | {"mean rank": ranks}
    return [
        Figure(
            task=TASK,
            setting="zero-shot",
            measure=name,
            honest=bootstrap(_mean, column, groups=asked.patients, repeats=given.repeats),
            remark=f"among {len(asked.texts)} distinct reports",
        )
        for name, column in values.items()
    ]


def _mean(values: NDArray[np.intp]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
