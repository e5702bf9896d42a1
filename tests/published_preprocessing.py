"""The published preprocessing, read slowly and pixel by pixel from its description."""

import numpy as np
from cv2 import INTER_AREA, resize
from numpy.typing import NDArray

from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Preprocessing


def described_grey(image: StoredImage) -> NDArray[np.uint8]:
    """Steps 1 to 4 in float32 on every pixel."""
    x = image.values.astype(np.float32) * image.rescale_slope + image.rescale_intercept
    x = x[5:-5, 5:-5]
    if image.photometric_interpretation == "MONOCHROME1":
        x = np.amax(x) - x
    x = x - np.min(x)
    x = x / np.max(x)
    return (x * 255).astype(np.uint8)


def described_run(flags: list[bool]) -> list[int]:
    """Count each element's run by walking to the next False or to the array's last element."""
    counts = []
    for index, flag in enumerate(flags):
        left = right = index
        while flag and left > 0 and flags[left]:
            left -= 1
        while flag and right < len(flags) - 1 and flags[right]:
            right += 1
        counts.append(right - left - 1)
    return [index for index, count in enumerate(counts) if count == max(counts)]


def described_crop(grey: NDArray[np.uint8]) -> tuple[list[int], list[int]]:
    """Step 5 with standard deviations."""
    copy = grey.copy()
    copy[copy <= 40] = 0
    height = copy.shape[0]
    rows = copy[height // 2 - int(0.4 * height) : height // 2 + int(0.4 * height)]
    columns = described_run([bool(rows[:, index].std() != 0) for index in range(copy.shape[1])])
    copy = copy[:, columns]
    width = copy.shape[1]
    middle = copy[:, width // 2 - int(0.4 * width) : width // 2 + int(0.4 * width)]
    return columns, described_run([bool(row.std() != 0) if row.size else True for row in middle])


def described_picture(image: StoredImage, rows: int, columns: int) -> NDArray[np.uint8]:
    """Steps 1 to 7."""
    grey = described_grey(image)
    kept_columns, kept_rows = described_crop(grey)
    crop = np.ascontiguousarray(grey[kept_rows][:, kept_columns])
    picture: NDArray[np.uint8] = resize(crop, (columns, rows), interpolation=INTER_AREA)
    return picture


def described_input(image: StoredImage, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Steps 1 to 10."""
    x = described_picture(image, preprocessing.rows, preprocessing.columns).astype(np.float32)
    x = x - x.min()
    x = x / x.max()
    return (x - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
