"""How much of the decoding the engine hides behind its model, which here only waits."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.analysis.engine import DEFAULT_DECODE_THREADS, Engine, StudyRequest
from mammoclip_core.analysis.study_files import request_from
from mammoclip_core.images.image_file import prepared_files
from mammoclip_core.lexicon import DEFAULT_FINDINGS
from mammoclip_core.manifest import EncoderEntry, Manifest, Preprocessing
from mammoclip_core.prediction import Prediction


@dataclass
class WaitingModel:
    """Answers after a time for each image, in which it computes nothing and holds no lock."""

    manifest: Manifest
    seconds_an_image: float = 0.0

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        """Wait, then give every finding the same score."""
        time.sleep(self.seconds_an_image * len(batch))
        scores = {entry.name: 0.5 for entry in self.manifest.findings if not entry.is_class_set}
        return [Prediction(scores=scores, density_scores=(0.25,) * 4) for _ in batch]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Seconds for the same studies, decoding and model together."""

    preparing: float
    model: float
    engine: float
    plain_loop: float

    @property
    def longer(self) -> float:
        """Return what no arrangement can undercut."""
        return max(self.preparing, self.model)


def measure_overlap(images: Sequence[Path], preprocessing: Preprocessing, studies: int) -> Overlap:
    """Analyse copies of a study by the engine's stream, and study after study, part after part."""
    manifest = Manifest(
        name="waiting",
        version="0",
        weights_sha256="",
        licence="",
        permitted_use="",
        trained_on="",
        intended_use="",
        encoders=(EncoderEntry(name="image", architecture="none", padding="published"),),
        preprocessing=preprocessing,
        findings=DEFAULT_FINDINGS,
    )
    request = request_from(images)
    requests = [replace(request, study_instance_uid=str(number)) for number in range(studies)]
    prepare(request, preprocessing)
    begun = time.perf_counter()
    for item in requests:
        prepare(item, preprocessing)
    preparing = time.perf_counter() - begun
    model = WaitingModel(manifest, preparing / (studies * len(request.images)))
    begun = time.perf_counter()
    answered = list(Engine(model).analyze_studies(requests))
    engine = time.perf_counter() - begun
    if any(answer.findings.is_partial for answer in answered) or len(answered) != studies:
        raise SystemExit("the engine did not answer for every image")
    begun = time.perf_counter()
    for item in requests:
        model.predict(prepare(item, preprocessing))
    plain_loop = time.perf_counter() - begun
    return Overlap(preparing, preparing, engine, plain_loop)


def prepare(request: StudyRequest, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Decode and prepare a study's images on as many threads as the engine does."""
    paths = [image.path for image in request.images]
    outcomes = list(
        prepared_files(paths, preprocessing, threads=DEFAULT_DECODE_THREADS, ahead=len(paths))
    )
    failures = [item for item in outcomes if isinstance(item, Exception)]
    if failures:
        raise SystemExit(f"an image cannot be prepared: {failures[0]}")
    return np.stack([item.values for item in outcomes if not isinstance(item, Exception)])
