"""A worker whose model is simulated: it needs no memory, waits, and finds a mass in each image.

What remains is the worker's own: claiming, reading, decoding, result objects, sending, recording.
"""

import os
import sys
import time
from typing import Any

from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
from mammoclip_core.analysis.lesions import with_lesions
from mammoclip_core.engines import choice
from mammoclip_core.findings import (
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    StudyAnalysis,
    StudyFindings,
)
from mammoclip_core.images.image_file import ReadImage
from mammoclip_core.manifest import read_manifest
from worker import app

SECONDS_VARIABLE = "SIMULATED_MODEL_SECONDS"
"""What the model takes for a study."""

_REGION = Region(
    outline=((80.0, 200.0), (160.0, 200.0), (160.0, 280.0), (80.0, 280.0)),
    box=(80.0, 200.0, 160.0, 280.0),
    area_pixels=80 * 80,
    peak=(120.0, 240.0),
    activation=0.8,
)


class SimulatedEngine:
    """Decodes the images as every engine does, and then only takes time."""

    computed_by = "simulated"

    def __init__(self, bundle: Any, **_options: Any) -> None:
        self.manifest = read_manifest(bundle)
        self._seconds = float(os.environ[SECONDS_VARIABLE])
        self._read: ReadImage | None = None

    def read_by(self, read: ReadImage) -> None:
        """Have images decoded by the worker's child processes."""
        self._read = read

    def prepare_as(self, _mode: object) -> None:
        """Prepare nothing."""

    def analyze(self, request: StudyRequest) -> StudyAnalysis:
        """Answer each image with one mass, after the time that a model takes."""
        assert self._read is not None, "the worker says how images are read"
        for image in request.images:
            stored = self._read(image.path, image.frame)
            if request.on_decoded is not None:
                request.on_decoded(image, stored)
        time.sleep(self._seconds)
        images = (*map(_answer, request.images), *request.left_out)
        return StudyAnalysis(
            findings=StudyFindings(
                study_instance_uid=request.study_instance_uid,
                bundle=self.manifest.identity,
                settings_sha256="00" * 32,
                images=with_lesions(images, geometries={}),
            )
        )


def _answer(image: ImageToAnalyse) -> ImageFindings:
    finding = Finding(
        name="mass",
        code="SCT|4147007|Mass",
        score=0.9,
        calibrated=False,
        above_threshold=True,
        source=FindingSource.PROMPT,
        method=LocalisationMethod.CAM,
        regions=(_REGION,),
    )
    return ImageFindings(
        sop_instance_uid=image.sop_instance_uid,
        laterality=image.laterality,
        view_position=image.view_position,
        status=ImageStatus.ANALYSED,
        reason=image.remark,
        findings=(finding,),
    )


if __name__ == "__main__":
    choice.load_engine = SimulatedEngine  # type: ignore[assignment]
    app.worker_main(sys.argv[1:])
