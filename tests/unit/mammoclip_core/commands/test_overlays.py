"""The plain pictures of answers show an image in its true proportions, regions in their place."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from core_factory import breast, mammogram, save
from findings_factory import MASS, REGION, STUDY

from mammoclip_core.commands.overlays import write_overlays
from mammoclip_core.findings import StudyAnalysis, StudyFindings

COLOR = np.array((60, 220, 255))
ROWS, COLUMNS = 200, 160
WIDTH_OF_BANNER = 640


def overlay(tmp_path: Path, **attributes: Any) -> np.ndarray:
    """Return the picture of an image whose region is the box of columns 80-120, rows 40-100."""
    dataset = mammogram(breast(ROWS, COLUMNS), **attributes)
    file = save(dataset, tmp_path / "image.dcm")
    region = REGION.__class__(
        outline=((80.0, 40.0), (120.0, 40.0), (120.0, 100.0), (80.0, 100.0)),
        box=(80.0, 40.0, 120.0, 100.0),
        area_pixels=2400,
        peak=(100.0, 70.0),
        activation=0.9,
    )
    uid = str(dataset.SOPInstanceUID)
    image = STUDY.images[0].__class__(
        sop_instance_uid=uid,
        status=STUDY.images[0].status,
        findings=(MASS.__class__(**{**_fields(MASS), "regions": (region,), "frame": 1}),),
    )
    findings = StudyFindings(
        study_instance_uid="1.2.3",
        bundle=STUDY.bundle,
        settings_sha256="1" * 64,
        images=(image,),
    )
    (path,) = write_overlays(
        {uid: file}, StudyAnalysis(findings=findings), "", tmp_path / "pictures"
    )
    return cv2.imread(str(path))


def _fields(part: Any) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.__slots__}


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({}, (ROWS, COLUMNS)),
        ({"ImagerPixelSpacing": [0.1, 0.1]}, (ROWS, COLUMNS)),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (ROWS, COLUMNS // 2)),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, (ROWS // 2, COLUMNS)),
        ({"PixelAspectRatio": [1, 2]}, (ROWS // 2, COLUMNS)),
    ],
)
def test_image_is_drawn_in_square_pixels_and_its_regions_with_it(
    tmp_path: Path, attributes: dict[str, Any], size: tuple[int, int]
) -> None:
    picture = overlay(tmp_path, **attributes)
    image = picture[-size[0] :]

    drawn = np.argwhere((np.abs(image.astype(int) - COLOR) < 40).all(axis=2))
    top, left = drawn.min(axis=0)
    bottom, right = drawn.max(axis=0)
    expected = np.array((40 * size[0] / ROWS, 80 * size[1] / COLUMNS))
    assert np.abs((top, left) - expected).max() <= 2
    expected = np.array((100 * size[0] / ROWS, 120 * size[1] / COLUMNS))
    assert np.abs((bottom, right) - expected).max() <= 2
    assert picture.shape[1] == WIDTH_OF_BANNER
    assert not image[:, size[1] :].any()
