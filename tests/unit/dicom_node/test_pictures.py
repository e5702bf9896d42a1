"""Pictures of what the node holds: sources decoded apart, and its own results in their colours."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from objects_factory import finding, image_of, mammogram, results_of
from PIL import Image
from pydicom.pixels.utils import pixel_array

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.products import Profile
from dicom_node.objects.writing import write_object
from dicom_node.pictures import NoPictureError, Pictures


def shown(file: Path, long_side: int) -> NDArray[np.int_]:
    with Image.open(BytesIO(Pictures().of(file, long_side))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Return the file of a result in colour."""
    source = mammogram("CC", "R")
    profile = Profile(objects=frozenset({ResultKind.SECONDARY_CAPTURE}))
    (made, *_) = results_of((source, image_of(source, finding())), profiles=(profile,))
    stream = BytesIO()
    write_object(made.dataset, stream)
    file = tmp_path / "result.dcm"
    file.write_bytes(stream.getvalue())
    assert made.dataset.SamplesPerPixel == 3
    return file


def test_result_of_the_node_is_shown_in_its_colours_and_within_bounds(capture: Path) -> None:
    made = pixel_array(capture).astype(int)
    whole, small = (shown(capture, side) for side in (4000, 200))

    assert max(small.shape[:2]) == 200
    assert np.abs(whole - made).mean() < 5, "as JPEG changes it"
    colored = made.max(axis=2) - made.min(axis=2) > 60
    assert colored.any()
    assert np.abs(whole - made)[colored].mean() < 40, "red is not taken for blue"


def test_frame_that_a_result_lacks_is_no_picture(capture: Path) -> None:
    with pytest.raises(NoPictureError):
        Pictures().of(capture, 200, frame=2)
