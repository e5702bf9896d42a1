"""From a study's files to its findings: decoding on threads while the model runs."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from mammoclip_core.aggregation import breasts_of, study_of
from mammoclip_core.detector_pixels import to_detector_input
from mammoclip_core.errors import PixelError
from mammoclip_core.findings import (
    Heatmap,
    ImageFindings,
    ImageStatus,
    StudyAnalysis,
    StudyFindings,
)
from mammoclip_core.interpretation import findings_of, on_extent, settings_sha256, shown_names
from mammoclip_core.manifest import Manifest
from mammoclip_core.prediction import BoxModel, ImageModel, Prediction
from mammoclip_core.preprocessing import PreparedImage, prepare
from mammoclip_core.reading import read_image

__all__ = ["Engine", "ImageModel", "ImageToAnalyse", "Prediction", "StudyRequest"]

DEFAULT_BATCH_SIZE: Final = 4
"""The images of a screening study."""

DEFAULT_DECODE_THREADS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageToAnalyse:
    """One frame of one instance that the model is to be shown.

    Attributes
    ----------
    laterality : ``L``, ``R``, ``B`` or empty
    view_position : as (0018,5101); empty if unknown
    remark : words
        Handed on as the reason of an analysed image: what is unusual about it.
    frame : 1 or more
    """

    sop_instance_uid: str
    path: Path
    laterality: str = ""
    view_position: str = ""
    remark: str = ""
    frame: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """The images of one study, and those that somebody decided not to analyse.

    Attributes
    ----------
    left_out : tuple of ImageFindings
        Handed on unchanged, behind the images.
    """

    study_instance_uid: str
    images: tuple[ImageToAnalyse, ...]
    left_out: tuple[ImageFindings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is said of one image, with the pictures behind it."""

    findings: ImageFindings
    heatmaps: tuple[Heatmap, ...] = ()


class Engine:
    """Analyse studies with one loaded model; keep it for the life of the process.

    Parameters
    ----------
    decode_threads : 1 or more
        Images that are decoded and prepared beside the model.
    batch_size : 1 or more
        Images that the model is shown at once, at most.
    engine_name, precision : words
        What computes, and in which numbers: part of the digest of the settings.
    boxes : the detectors, where the bundle names any
    """

    def __init__(
        self,
        model: ImageModel,
        *,
        decode_threads: int = DEFAULT_DECODE_THREADS,
        batch_size: int = DEFAULT_BATCH_SIZE,
        engine_name: str = "torch",
        precision: str = "float32",
        boxes: BoxModel | None = None,
    ) -> None:
        if decode_threads < 1 or batch_size < 1:
            raise ValueError("an engine needs at least 1 decode thread and a batch of 1")
        self._model = model
        self._boxes = boxes
        self._decode_threads = decode_threads
        self._batch_size = batch_size
        self.manifest: Manifest = model.manifest
        self.settings_sha256 = settings_sha256(model.manifest, engine_name, precision)

    def analyze(self, request: StudyRequest) -> StudyAnalysis:
        """Answer for every image of a study.

        An image that cannot be turned into pixels is FAILED with its reason, and the others go
        on. An error of the model is the caller's: it concerns them all.
        """
        answers: dict[int, _Answer] = {}
        waiting: dict[int, PreparedImage] = {}
        for position, outcome in enumerate(self._prepared(request.images)):
            if isinstance(outcome, PixelError):
                answers[position] = _failed(request.images[position], outcome)
                continue
            waiting[position] = outcome
            if len(waiting) == self._batch_size:
                answers.update(self._answer(request, waiting))
                waiting = {}
        if waiting:
            answers.update(self._answer(request, waiting))
        return self._analysis_of(request, [answers[position] for position in sorted(answers)])

    def _analysis_of(self, request: StudyRequest, answers: list[_Answer]) -> StudyAnalysis:
        images = tuple(answer.findings for answer in answers)
        breasts = breasts_of(images)
        return StudyAnalysis(
            findings=StudyFindings(
                study_instance_uid=request.study_instance_uid,
                bundle=self.manifest.identity,
                settings_sha256=self.settings_sha256,
                images=images + request.left_out,
                breasts=breasts,
                study=study_of(breasts),
            ),
            heatmaps=tuple(heatmap for answer in answers for heatmap in answer.heatmaps),
        )

    def _prepared(self, images: tuple[ImageToAnalyse, ...]) -> Iterator[PreparedImage | PixelError]:
        """Yield the images in order while the next ones are decoded, a batch ahead at most."""
        pending: deque[Future[PreparedImage | PixelError]] = deque()
        with ThreadPoolExecutor(self._decode_threads, thread_name_prefix="decode") as threads:
            for image in images:
                pending.append(threads.submit(_prepare, image, self.manifest))
                if len(pending) >= self._batch_size + self._decode_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _answer(
        self, request: StudyRequest, waiting: dict[int, PreparedImage]
    ) -> dict[int, _Answer]:
        grey = np.stack([prepared.values for prepared in waiting.values()])
        predictions = self._model.predict(np.repeat(grey[:, np.newaxis], 3, axis=1))
        if self._boxes is not None:
            squares = [prepared.detector_values for prepared in waiting.values()]
            shown = np.stack([square for square in squares if square is not None])
            found = self._boxes.detect(np.repeat(shown[:, np.newaxis], 3, axis=1))
            predictions = [
                replace(prediction, boxes=boxes)
                for prediction, boxes in zip(predictions, found, strict=True)
            ]
        return {
            position: self._interpret(request.images[position], prepared, prediction)
            for (position, prepared), prediction in zip(waiting.items(), predictions, strict=True)
        }

    def _interpret(
        self, image: ImageToAnalyse, prepared: PreparedImage, prediction: Prediction
    ) -> _Answer:
        findings = findings_of(self.manifest, prediction, prepared, image.frame)
        return _Answer(
            findings=ImageFindings(
                sop_instance_uid=image.sop_instance_uid,
                frame=image.frame,
                laterality=image.laterality,
                view_position=image.view_position,
                status=ImageStatus.ANALYSED,
                reason=image.remark,
                findings=findings,
                density_scores=prediction.density_scores,
            ),
            heatmaps=tuple(
                Heatmap(
                    sop_instance_uid=image.sop_instance_uid,
                    frame=image.frame,
                    finding=name,
                    values=on_extent(prediction.activations[name], prepared.geometry),
                    extent=prepared.geometry.extent,
                )
                for name in shown_names(findings)
            ),
        )


def _prepare(image: ImageToAnalyse, manifest: Manifest) -> PreparedImage | PixelError:
    try:
        stored = read_image(image.path, image.frame)
        if stored.sop_instance_uid == image.sop_instance_uid:
            prepared = prepare(stored, manifest.preprocessing)
            if not manifest.detectors:
                return prepared
            return replace(prepared, detector_values=to_detector_input(prepared.grey))
    except PixelError as error:
        return error
    return PixelError(f"{image.sop_instance_uid}: the file holds {stored.sop_instance_uid}")


def _failed(image: ImageToAnalyse, error: PixelError) -> _Answer:
    return _Answer(
        findings=ImageFindings(
            sop_instance_uid=image.sop_instance_uid,
            frame=image.frame,
            laterality=image.laterality,
            view_position=image.view_position,
            status=ImageStatus.FAILED,
            reason=str(error),
        )
    )
