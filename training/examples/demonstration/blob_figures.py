"""What a blob detector without learning makes of the held-out phantoms, at full resolution."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.examples.demonstration.answers import labels_of
from training.examples.demonstration.phantom_images import TrueImage
from training.measures.blob_detector import SIGMAS_MM, best_scale_auc, blob_scores
from training.measures.figures import Figure
from training.measures.intervals import bootstrap
from training.measures.score_measures import auroc
from training.phantoms.families import draw_patient, draw_view
from training.phantoms.family import Family
from training.phantoms.view import VIEW_POSITIONS
from training.pretraining.label_loss import FINDINGS

SETTING: Final = "blob detector without learning"


def blob_rows(
    seed: int,
    truth: list[TrueImage],
    *,
    data: str,
    family: Family = Family.PLAIN,
    processes: int = 1,
) -> list[Figure]:
    """Judge the strongest blob of the scale that does best on these very images.

    Parameters
    ----------
    seed : that the images were drawn with, from the first patient on
    truth : of all images, four a study
    """
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        studies = pool.map(partial(_scores_of_study, seed, family), range(len(truth) // 4))
        scores = np.concatenate(list(studies))
    figures = []
    for _, entry in FINDINGS:
        labels = labels_of(truth, entry.name)
        if labels.all() or not labels.any():
            continue
        _, sigma_mm = best_scale_auc(scores, labels)
        said = np.nan_to_num(scores[:, SIGMAS_MM.index(sigma_mm)], neginf=-1e9)
        figures.append(
            Figure(
                task=f"{data} {entry.name.replace('_', ' ')}",
                setting=SETTING,
                measure="AUROC",
                honest=bootstrap(auroc, labels, said, groups=[one.patient_id for one in truth]),
                remark=f"Laplacian of a Gaussian of {sigma_mm:g} mm, 1520 x 912 pixels",
            )
        )
    return figures


def _scores_of_study(seed: int, family: Family, number: int) -> NDArray[np.float64]:
    cv2.setNumThreads(1)
    patient = draw_patient(seed, number, family)
    scores = []
    for breast in patient.breasts:
        for view_position in VIEW_POSITIONS:
            view = draw_view(patient, breast, view_position)
            picture = (view.pixels / max(int(view.pixels.max()), 1) * 255).astype(np.uint8)
            scores.append(blob_scores(picture, view.spacing_mm[0]))
    return np.stack(scores)
