"""The row that a model must beat: a blob detector without learning, at its best scale."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import prepare
from training.downstream.cases import Protocol, divide
from training.downstream.tasks import CALCIFICATION, MASS, DataSet
from training.evaluation.suite_input import SuiteInput
from training.measures.blob_detector import SIGMAS_MM, best_scale_auc, blob_scores
from training.measures.figures import Figure
from training.measures.intervals import bootstrap
from training.measures.score_measures import auroc

SETTING: Final = "blob detector without learning"
HEIGHT_MM: Final = 230.0
"""Taken for the height of every image: pictures do not tell the size of their pixels."""


def blob_figures(given: SuiteInput) -> list[Figure]:
    """Judge the strongest blob of the best scale on the test images of VinDr's table."""
    data = given.sets.get(DataSet.VINDR)
    if data is None:
        return []
    divisions = [
        (
            task,
            divide(data, task, Protocol.PUBLISHED).test,
            divide(data, task, Protocol.HONEST).test,
        )
        for task in (CALCIFICATION, MASS)
    ]
    scores = np.full((len(data.files), len(SIGMAS_MM)), -np.inf)
    for place in np.unique(divisions[0][2].images):
        grey = prepare(read_image(data.files[place]), given.manifest.preprocessing).grey
        scores[place] = blob_scores(_eight_bits(grey), HEIGHT_MM / grey.shape[0])
    figures = []
    for task, rows, images in divisions:
        if len(np.unique(images.labels)) < 2:
            continue
        _, sigma_mm = best_scale_auc(scores[images.images], images.labels.astype(bool))
        said = scores[:, SIGMAS_MM.index(sigma_mm)]
        published, honest = (
            bootstrap(
                auroc,
                cases.labels,
                said[cases.images],
                groups=cases.patients.astype(str),
                repeats=given.repeats,
            )
            for cases in (rows, images)
        )
        figures.append(
            Figure(
                task=task.name,
                setting=SETTING,
                measure="AUROC",
                as_published=published,
                honest=honest,
                remark=f"Laplacian of a Gaussian of {sigma_mm:g} mm, the best of "
                f"{len(SIGMAS_MM)} on these very images, which are taken to be "
                f"{HEIGHT_MM:g} mm high",
            )
        )
    return figures


def _eight_bits(grey: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    if grey.dtype == np.uint8:
        return np.asarray(grey, dtype=np.uint8)
    return (grey.astype(np.float32) * (255 / max(float(grey.max()), 1.0))).astype(np.uint8)
