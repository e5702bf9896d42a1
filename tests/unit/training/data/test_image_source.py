"""Pretraining, probing, fine-tuning, evaluation and node are shown the same of one picture."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mammoclip_core.errors import PixelError
from mammoclip_core.images.image_file import prepared_files
from mammoclip_core.images.picture_file import prepared_png
from training.data.image_source import PictureFolder
from training.preparation.picture import preprocessing_of

SIZE = (190, 114)
PREPROCESSING = preprocessing_of(*SIZE)


def mammogram(rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a bright breast of some texture at the left of dark air."""
    y, x = np.mgrid[:rows, :columns]
    inside = (x / (0.6 * columns)) ** 2 + ((y - rows / 2) / (0.4 * rows)) ** 2 < 1
    texture = np.random.default_rng(3).integers(90, 250, (rows, columns))
    return np.where(inside, texture, 0).astype(np.uint8)


@pytest.mark.parametrize("size", [SIZE, (300, 200), (150, 100), (1520, 912)])
@pytest.mark.parametrize("says_so", [True, False])
def test_pretraining_is_shown_what_everything_else_is_shown(
    tmp_path: Path, size: tuple[int, int], says_so: bool
) -> None:
    picture = mammogram(*size)
    if says_so:
        (tmp_path / "a.png").write_bytes(prepared_png(picture))
    else:
        Image.fromarray(picture).save(tmp_path / "a.png")

    shown = PictureFolder(tmp_path, SIZE)("a.png")

    (elsewhere,) = prepared_files([tmp_path / "a.png"], PREPROCESSING, threads=1, ahead=1)
    assert not isinstance(elsewhere, PixelError)
    expected = elsewhere.values * PREPROCESSING.std + PREPROCESSING.mean
    np.testing.assert_allclose(shown[0].numpy(), expected, atol=1e-6)
    whole = elsewhere.geometry.extent == (0, 0, size[1], size[0])
    assert whole == (says_so or size in {SIZE, (1520, 912)})


def test_picture_of_one_value_is_named(tmp_path: Path) -> None:
    (tmp_path / "black.png").write_bytes(prepared_png(np.zeros(SIZE, np.uint8)))

    with pytest.raises(PixelError, match=r"black\.png"):
        PictureFolder(tmp_path, SIZE)("black.png")
