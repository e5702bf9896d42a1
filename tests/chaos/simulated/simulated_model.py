"""A model that decodes each image, waits as long as a fast one computes, and finds a mass."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from unit.worker.worker_factory import StandInEngine

from mammoclip_core.analysis.engine import StudyRequest
from mammoclip_core.errors import CoreError
from mammoclip_core.findings import StudyAnalysis
from mammoclip_core.images.image_file import ReadImage
from mammoclip_core.manifest import Manifest, read_manifest

DEADLY = ".666"
"""End of the UID of an image that kills whatever decodes it."""


class Simulated(StandInEngine):
    """Fails what cannot be decoded, as the engine does."""

    computed_by = "simulated"
    manifest: Manifest

    def read_by(self, read: ReadImage) -> None:
        """Have images decoded by the worker's child processes."""
        self._read = read

    def prepare_as(self, _mode: object) -> None:
        """Prepare nothing."""

    def analyze(self, request: StudyRequest) -> StudyAnalysis:
        broken = set()
        for image in request.images:
            if image.sop_instance_uid.endswith(DEADLY):
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                _decoded: Any = self._read(image.path, image.frame).values
            except CoreError:
                broken.add(image.sop_instance_uid)
        time.sleep(0.05)
        self.failing = frozenset(broken)
        return super().analyze(request)


def load_simulated(bundle: Path, **_options: object) -> Simulated:
    """Load no more of a bundle than what it says of itself."""
    engine = Simulated()
    engine.manifest = read_manifest(bundle)
    return engine
