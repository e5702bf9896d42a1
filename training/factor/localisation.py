"""How well heatmaps, Mammo-FActOR's first of all, meet true boxes that training never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.analysis.attribution import (
    DEFAULT_THRESHOLD,
    on_input_grid,
    regions_of,
    relative,
)
from mammoclip_core.networks.efficientnet import EfficientNet
from mammoclip_core.networks.mammo_factor import (
    DEFAULT_TOP_CHANNELS,
    FactorWeights,
    channel_similarities,
    factor_activation,
    image_similarity,
)
from training.data.boxes import Boxes
from training.measures.box_figures import (
    average_precision_of,
    bearing_only,
    mean_overlap_of,
    share_of,
)
from training.measures.figures import Figure
from training.measures.localisation import Detections

QUANTILE: Final = 0.95
"""Regions of the published figures: pixels above this share of the heatmap's."""

THRESHOLDS: Final = (0.25, 0.5)
LARGE_MM: Final = 12.0

_REMARK: Final = (
    "as published: regions above the heatmap's 95 % quantile, images with the finding;"
    " honest: the node's own regions, all images"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalisedImage:
    """What a heatmap says of one image, beside the truth, in pixels of the model's input.

    Attributes
    ----------
    similarity : how much the image shows the finding, the cosine divided by the temperature
        Not a number where another method than Mammo-FActOR looked.
    regions : boxes of the node's regions
    above_quantile : boxes of the regions above `QUANTILE`
    point : (x, y) that the highest cell of the heatmap looks at
    points_inside : (M,) whether it lies in each true box
    sizes_mm : (M,) of the true boxes' lesions, NaN where not known
    """

    patient_id: str
    similarity: float
    regions: Detections
    above_quantile: Detections
    point: tuple[float, float]
    points_inside: NDArray[np.bool_]
    sizes_mm: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrueBoxes:
    """What is true of one image.

    Attributes
    ----------
    boxes : (M, 4) in pixels of the model's input; M is 0 on an image without the finding
    sizes_mm : (M,) NaN where not known
    """

    patient_id: str
    boxes: Boxes
    sizes_mm: NDArray[np.float64]


def localise(
    feature_map: NDArray[np.floating],
    weights: FactorWeights,
    truth: TrueBoxes,
    *,
    encoder: EfficientNet,
    size: tuple[int, int],
    score: float | None = None,
    top_channels: int = DEFAULT_TOP_CHANNELS,
) -> LocalisedImage:
    """Find regions on one image as a node does, on the model's input.

    Parameters
    ----------
    feature_map : (C, H, W)
    encoder : whose feature map it is
    size : (rows, columns) of the model's input
    score : how likely the image shows the finding, [0, 1]
        Ranks the boxes of all images, together with the heatmap's height inside each. Without
        one, the similarity decides.
    """
    values = np.asarray(feature_map, np.float32)
    similarities = channel_similarities(values, weights)
    similarity = image_similarity(similarities)
    return localise_activation(
        factor_activation(values, similarities, top_channels),
        truth,
        encoder=encoder,
        size=size,
        score=0.5 * (1.0 + np.tanh(0.5 * similarity)) if score is None else score,
        similarity=similarity,
    )


def localise_activation(
    activation: NDArray[np.float32],
    truth: TrueBoxes,
    *,
    encoder: EfficientNet,
    size: tuple[int, int],
    score: float,
    similarity: float = float("nan"),
) -> LocalisedImage:
    """Find regions in a map of any method, (H, W), on the cells of the encoder's feature map."""
    heatmap = relative(on_input_grid(activation, encoder.stride, encoder.first_centre, size))
    enlarged = cv2.resize(heatmap, size[::-1], interpolation=cv2.INTER_LINEAR)
    quantile = max(float(np.quantile(enlarged, QUANTILE)), 1e-6)

    def found(threshold: float) -> Detections:
        extent = (0.0, 0.0, float(size[1]), float(size[0]))
        regions = regions_of(heatmap, extent, size, threshold=threshold, min_area_pixels=1)
        return Detections(
            boxes=np.array([region.box for region in regions], np.float64).reshape(-1, 4),
            scores=np.array([score * region.activation for region in regions], np.float64),
            truth=truth.boxes,
        )

    point = _looked_at(activation, encoder, size)
    return LocalisedImage(
        patient_id=truth.patient_id,
        similarity=similarity,
        regions=found(DEFAULT_THRESHOLD),
        above_quantile=found(quantile),
        point=point,
        points_inside=_contain(truth.boxes, point),
        sizes_mm=truth.sizes_mm,
    )


def localisation_figures(
    images: Sequence[LocalisedImage],
    finding: str,
    *,
    data: str = "VinDr",
    method: str = "Mammo-FActOR",
    taught: str = "without boxes",
    large_mm: float = LARGE_MM,
) -> list[Figure]:
    """Return average precision, overlap and pointing game of one finding.

    Parameters
    ----------
    finding : words, such as ``suspicious calcification``
    data : begin of the task's name
        ``VinDr`` alone is held against the published figures.
    taught : how the encoder learned where findings are, in words
    large_mm : the pointing game is also computed on lesions of at least this size
    """
    task = f"{data} {finding} localisation {taught}"
    patients = [image.patient_id for image in images]
    regions = [image.regions for image in images]
    published = bearing_only([image.above_quantile for image in images], patients)
    figures = [
        Figure(
            task=task,
            setting=f"{method}, {threshold:g}",
            measure=f"average precision at IoU {threshold:g}",
            as_published=average_precision_of(published[0], threshold, published[1]),
            honest=average_precision_of(regions, threshold, patients),
            remark=_REMARK,
        )
        for threshold in THRESHOLDS
    ]
    figures.append(
        Figure(
            task=task,
            setting=method,
            measure="mean IoU",
            as_published=mean_overlap_of(*published),
            honest=mean_overlap_of(regions, patients),
            remark="images with the finding; each true box with the box that overlaps it best",
        )
    )
    figures.append(_pointing(images, task, method, None))
    if any((image.sizes_mm >= large_mm).any() for image in images):
        figures.append(_pointing(images, task, method, large_mm))
    return figures


def _looked_at(
    activation: NDArray[np.float32], encoder: EfficientNet, size: tuple[int, int]
) -> tuple[float, float]:
    """Return where the highest cell looks: enlarged, a cell at the edge would have no peak."""
    row, column = np.unravel_index(int(activation.argmax()), activation.shape)
    x, y = (encoder.first_centre + encoder.stride * int(cell) + 0.5 for cell in (column, row))
    return min(x, size[1] - 0.5), min(y, size[0] - 0.5)


def _contain(boxes: Boxes, point: tuple[float, float]) -> NDArray[np.bool_]:
    near, far = boxes[:, :2] <= point, boxes[:, 2:] >= point
    inside: NDArray[np.bool_] = np.all(near & far, axis=1)
    return inside


def pointing_hits(
    images: Sequence[LocalisedImage], least_mm: float | None = None
) -> tuple[list[bool], list[str]]:
    """Tell whether the highest cell of each image lies in a lesion, and whose image it is.

    Parameters
    ----------
    least_mm : lesions below this size count for nothing; None: all count
        Images without a lesion that counts are left out.
    """
    hits, patients = [], []
    for image in images:
        counted = (
            np.ones(len(image.points_inside), bool)
            if least_mm is None
            else image.sizes_mm >= least_mm
        )
        if counted.any():
            hits.append(bool(image.points_inside[counted].any()))
            patients.append(image.patient_id)
    return hits, patients


def _pointing(
    images: Sequence[LocalisedImage], task: str, method: str, least_mm: float | None
) -> Figure:
    return Figure(
        task=task,
        setting=method if least_mm is None else f"{method}, at least {least_mm:g} mm",
        measure="pointing game",
        honest=share_of(*pointing_hits(images, least_mm)),
        remark="images with the finding; hit if what the highest cell looks at is in a true box",
    )
