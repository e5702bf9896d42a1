"""What a picture that is no DICOM object is called."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from mammoclip_core.images.image_file import read_image


@pytest.mark.parametrize("in_a_process", [False, True])
def test_picture_is_named_by_the_path_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_a_process: bool
) -> None:
    Image.fromarray(np.arange(6400, dtype=np.uint16).reshape(80, 80)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    with closing(DecodingPool()) as pool:
        read = pool.read_image if in_a_process else read_image
        for path in (Path("a.png"), Path("../") / tmp_path.name / "a.png", tmp_path / "a.png"):
            assert read(path, 1).sop_instance_uid == str(path)
