"""What a detector without learning finds: the strongest Laplacian of a Gaussian on a picture."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SIGMAS_MM: Final = (0.15, 0.25, 0.4, 0.7, 1.2, 2.0, 3.0, 4.5, 6.5, 9.0, 12.0)
"""From a calcification's to the largest mass's: a disc of radius r answers best at r / 1.41."""

_AIR: Final = 20
"""8-bit value up to which a pixel is air."""

_RIM_MM: Final = 6.0
"""Skin and air are not looked at: the edge of the breast would outshine everything."""


def blob_scores(picture: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.float64]:
    """Return the strongest bright blob of each scale inside the breast.

    Parameters
    ----------
    picture : (rows, columns) uint8
        Air dark.
    spacing_mm : mm a pixel

    Returns
    -------
    (scales,) float64
        Scale-normalised Laplacian of a Gaussian, sign turned so that bright blobs are positive,
        at each of `SIGMAS_MM`; minus infinity where nothing is left of the breast.

    References
    ----------
    Lindeberg 1998, doi:10.1023/A:1008045108935.
    """
    inside = breast_inside(picture, spacing_mm)
    scores = []
    for sigma_mm in SIGMAS_MM:
        sigma = sigma_mm / spacing_mm
        # A large blob needs no fine grid.
        step = max(1, int(sigma / 3))
        size = (picture.shape[1] // step, picture.shape[0] // step)
        values = cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        smooth = cv2.GaussianBlur(values, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
        answer = -((sigma / step) ** 2) * cv2.Laplacian(smooth, cv2.CV_32F)
        answer = answer[cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST) > 0]
        scores.append(float(answer.max()) if answer.size else -np.inf)
    return np.array(scores)


def best_scale_auc(
    scores: NDArray[np.float64], labels: Sequence[bool] | NDArray[np.bool_]
) -> tuple[float, float]:
    """Return the AUC of the scale that does best on these very pictures, and its sigma in mm.

    Choosing on the test pictures favours the detector: a model must do better all the same.

    Parameters
    ----------
    scores : (pictures, scales)
    labels : (pictures,)
    """
    from sklearn.metrics import roc_auc_score

    finite = np.where(np.isfinite(scores), scores, -1e9)
    aucs = [float(roc_auc_score(labels, finite[:, scale])) for scale in range(finite.shape[1])]
    best = int(np.argmax(aucs))
    return aucs[best], SIGMAS_MM[best]


def breast_inside(picture: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.uint8]:
    """Return the largest bright part of the picture without its rim; picture edges are no rim."""
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(
        (picture > _AIR).astype(np.uint8), connectivity=4
    )
    if count < 2:
        return np.zeros_like(picture)
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    depth = cv2.distanceTransform((parts == largest).astype(np.uint8), cv2.DIST_L2, 5)
    inside: NDArray[np.uint8] = (depth * spacing_mm > _RIM_MM).astype(np.uint8)
    return inside
