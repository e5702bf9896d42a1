"""Which report belongs to an image: how far ahead its own stands among all, by similarity."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.engines.embeddings import load_text_model
from training.data.image_files import find_named
from training.data.picture_check import require_usable
from training.data.table_formats import IMAGE_TEXT
from training.data.table_reading import read_table
from training.evaluation.suite_input import SuiteInput
from training.measures.figures import Figure
from training.measures.intervals import bootstrap
from training.measures.score_measures import retrieval_ranks

TASK: Final = "image to report retrieval"
_KS: Final = (1, 5, 10, 15)
_FOLD: Final = 0
_BATCH: Final = 64


def retrieval_figures(given: SuiteInput) -> list[Figure]:
    """Judge retrieval on the reports of fold 0, or on all where the table has no folds.

    Each image of a breast is asked for its breast's report, among the distinct reports.

    Raises
    ------
    TableError
        The table is none of reports, or its images are missing.
    """
    if given.reports is None:
        return []
    if not given.manifest.text_encoder:
        remark = "the bundle has no text encoder"
        return [Figure(task=TASK, setting="zero-shot", measure="recall@1", remark=remark)]
    rows = read_table(given.reports, IMAGE_TEXT)
    if "fold" in rows:
        rows = rows[rows["fold"] == _FOLD]
    texts = [" ".join(cell) for cell in rows["text"]]
    places = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    names, own, patients = [], [], []
    for images, text, patient in zip(rows["image"], texts, rows["patient_id"], strict=True):
        names += [Path(name) for name in images]
        own += [places[text]] * len(images)
        patients += [patient] * len(images)
    files = find_named(
        given.folders,
        [name.parent.name for name in names],
        [name.stem for name in names],
        given.reports,
        may_be_missing=given.skip_unreadable,
    )
    gone = require_usable(files, skip=given.skip_unreadable, say=given.say)
    left = [place for place, file in enumerate(files) if file not in gone]
    files = tuple(files[place] for place in left)
    own, patients = ([column[place] for place in left] for column in (own, patients))
    images = given.features_of(files)
    model = load_text_model(given.bundle)
    unique = list(places)
    embedded = np.concatenate(
        [model(unique[start : start + _BATCH]).numpy() for start in range(0, len(unique), _BATCH)]
    )
    ranks = retrieval_ranks(images.embeddings @ embedded.T, own)
    values = {f"recall@{k}": ranks <= k for k in _KS} | {"mean rank": ranks}
    return [
        Figure(
            task=TASK,
            setting="zero-shot",
            measure=name,
            honest=bootstrap(_mean, column, groups=patients, repeats=given.repeats),
            remark=f"among {len(unique)} distinct reports",
        )
        for name, column in values.items()
    ]


def _mean(values: NDArray[np.intp]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
