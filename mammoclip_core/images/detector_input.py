"""From the model input's grey levels to the detector's square, and its boxes back to the source."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import PixelError
from mammoclip_core.findings import Region, ScoreOf
from mammoclip_core.images.preprocessing import PUBLISHED_MEAN, PUBLISHED_STD, PreparedImage
from mammoclip_core.prediction import DetectedBox

INPUT_SIDE: Final = 512
"""Rows and columns that the published detectors were trained at."""


def to_detector_input(grey: NDArray[Any]) -> NDArray[np.float32]:
    """Scale an image to the detector's square, the aspect ratio not kept, and normalise it.

    Parameters
    ----------
    grey : (rows, columns) uint8 or uint16, of which the upper 8 bits are used
        The published crop at the encoder's input size, before it is normalised.

    Returns
    -------
    (512, 512) float32
        One channel: the detector's three are equal.

    Raises
    ------
    PixelError
        What is left of the image has one single value.
    """
    if grey.dtype == np.uint16:
        grey = (grey >> 8).astype(np.uint8)
    values = to_detector_square(grey).astype(np.float32) / np.float32(255)
    # In this order: another one changes the last bit of the pixels.
    values = values - values.min()
    greatest = values.max()
    if greatest == 0:
        raise PixelError("at the detector's size the image has one single value")
    values = values / greatest
    normalised: NDArray[np.float32] = (values - np.float32(PUBLISHED_MEAN)) / np.float32(
        PUBLISHED_STD
    )
    return normalised


def to_detector_square(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize an 8-bit image to the detector's input size by cubic interpolation."""
    square = cv2.resize(grey, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_CUBIC)
    return square.astype(np.uint8, copy=False)


def box_regions(boxes: tuple[DetectedBox, ...], image: PreparedImage) -> tuple[Region, ...]:
    """Bring boxes to the source image, in their order; those without an area there are dropped.

    Their scores are the detector's, and not judged yet.
    """
    geometry = image.geometry
    scale = np.array([geometry.input_columns, geometry.input_rows]) / INPUT_SIDE
    size = np.array([image.source_columns, image.source_rows], np.float64)
    regions = []
    for item in boxes:
        corners = np.array(item.box, np.float64).reshape(2, 2)
        if (corners[0] >= corners[1]).any():
            continue
        corners = np.clip(geometry.to_source(corners * scale), 0.0, size)
        (left, top), (right, bottom) = corners.tolist()
        if left < right and top < bottom:
            regions.append(
                Region(
                    outline=((left, top), (right, top), (right, bottom), (left, bottom)),
                    box=(left, top, right, bottom),
                    area_pixels=round((right - left) * (bottom - top)),
                    peak=((left + right) / 2, (top + bottom) / 2),
                    activation=item.score,
                    score_of=ScoreOf.REGION,
                    score=item.score,
                )
            )
    return tuple(regions)
