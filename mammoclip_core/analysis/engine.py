"""From a study's files to its findings: decoding on threads while the model runs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.analysis.aggregation import breasts_of, study_of
from mammoclip_core.analysis.embedding_summary import summarised
from mammoclip_core.analysis.image_preparation import prepared_image
from mammoclip_core.analysis.interpretation import (
    findings_of,
    on_extent,
    settings_sha256,
    shown_names,
)
from mammoclip_core.analysis.lesions import with_lesions
from mammoclip_core.analysis.study_request import ImageToAnalyse, StudyRequest
from mammoclip_core.background import map_ahead
from mammoclip_core.errors import BatchMemoryError, BundleError, ComputingError, PixelError
from mammoclip_core.findings import (
    EngineIdentity,
    Heatmap,
    ImageFindings,
    ImageStatus,
    StudyAnalysis,
    StudyFindings,
)
from mammoclip_core.images.breast_geometry import BreastGeometry
from mammoclip_core.images.pixel_statistics import PixelStatistics, mean_of
from mammoclip_core.images.preprocessing import PreparedImage
from mammoclip_core.images.tomosynthesis import merged
from mammoclip_core.manifest import PREPROCESSING_MODES, Manifest
from mammoclip_core.prediction import BoxModel, ImageModel, Prediction

if TYPE_CHECKING:
    from mammoclip_core.images.image_file import ReadImage

__all__ = ["Engine", "ImageModel", "ImageToAnalyse", "Prediction", "StudyRequest"]

DEFAULT_BATCH_SIZE: Final = 4
"""The images of a screening study."""

DEFAULT_DECODE_THREADS: Final = 2

_UNKNOWN_TORCH: Final = EngineIdentity(name="torch", version="unknown", precision="float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """The findings of one image, with their heatmaps."""

    findings: ImageFindings
    heatmaps: tuple[Heatmap, ...] = ()
    is_whole_breast: bool = False
    breast: BreastGeometry | None = None
    embedding: NDArray[np.float32] | None = None
    pixels: PixelStatistics | None = None


@dataclass(slots=True)
class _Study:
    """One study on its way through the engine."""

    request: StudyRequest
    answers: dict[int, _Answer] = field(default_factory=dict)

    @property
    def is_answered(self) -> bool:
        """Tell whether every image has its answer."""
        return len(self.answers) == len(self.request.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """One image on its way through the engine, with what is known of it so far."""

    study: _Study
    position: int
    outcome: PreparedImage | PixelError | None = None
    prediction: Prediction | ComputingError | None = None

    @property
    def shown(self) -> ImageToAnalyse:
        """Return the image as the request describes it."""
        return self.study.request.images[self.position]


class Engine:
    """Analyse studies with one loaded model; keep it for the life of the process.

    Parameters
    ----------
    decode_threads : 1 or more
        Images that are decoded and prepared beside the model.
    batch_size : 1 or more
        Images that the model is shown at once, at most.
    computed_by : what computes, and in which numbers
        Stated by every result; name and numbers are part of the digest of the settings.
    boxes : the detectors, where the bundle names any
    """

    def __init__(
        self,
        model: ImageModel,
        *,
        decode_threads: int = DEFAULT_DECODE_THREADS,
        batch_size: int = DEFAULT_BATCH_SIZE,
        computed_by: EngineIdentity = _UNKNOWN_TORCH,
        boxes: BoxModel | None = None,
    ) -> None:
        if decode_threads < 1 or batch_size < 1:
            raise ValueError("an engine needs at least 1 decode thread and a batch of 1")
        self._model = model
        self._boxes = boxes
        self._decode_threads = decode_threads
        self._batch_size = batch_size
        self.manifest: Manifest = model.manifest
        self.computed_by = computed_by
        self.settings_sha256 = settings_sha256(model.manifest, computed_by)
        self._read: ReadImage | None = None

    def read_by(self, read: "ReadImage") -> None:
        """Have images read otherwise than in this process, as by `DecodingPool.read_image`."""
        self._read = read

    def prepare_as(self, mode: str) -> None:
        """Prepare images in another mode than the bundle's; results' digest of settings tells.

        Raises
        ------
        BundleError
            The mode is not known.
        """
        if mode not in PREPROCESSING_MODES:
            raise BundleError(f"preprocessing mode {mode!r} is not known")
        preprocessing = replace(self.manifest.preprocessing, mode=mode)
        self.manifest = replace(self.manifest, preprocessing=preprocessing)
        self.settings_sha256 = settings_sha256(self.manifest, self.computed_by)

    def analyze(
        self, request: StudyRequest, on_image: Callable[[], object] | None = None
    ) -> StudyAnalysis:
        """Answer for every image of a study.

        An image that cannot be turned into pixels, for which memory is short even alone, or whose
        answer is not finite, is FAILED with its reason, and the others go on. Any other error of
        the model is the caller's: it concerns them all.

        Parameters
        ----------
        on_image : called each time that one more image has its answer
        """
        (analysis,) = self.analyze_studies([request], on_image)
        return analysis

    def analyze_studies(
        self, requests: Iterable[StudyRequest], on_image: Callable[[], object] | None = None
    ) -> Iterator[StudyAnalysis]:
        """Answer for studies as `analyze` does, in order.

        The next images are decoded and the last ones interpreted while the model looks at some,
        and a batch may hold images of two studies. What is held in memory does not grow with the
        number of studies; requests are taken a few ahead of the answers.
        """
        waiting: deque[_Study] = deque()
        prepared = map_ahead(
            _images_of(requests, waiting),
            self._prepared,
            threads=self._decode_threads,
            ahead=self._batch_size,
            name="decode",
        )
        answered = map_ahead(
            self._predictions_of(prepared, waiting),
            self._interpreted,
            threads=1,
            ahead=1,
            name="interpret",
        )
        for answers in answered:
            for image, answer in answers:
                image.study.answers[image.position] = answer
                if on_image is not None:
                    on_image()
            while waiting and waiting[0].is_answered:
                yield self._analysis_of(waiting.popleft())
        for study in waiting:
            yield self._analysis_of(study)

    def _predictions_of(
        self, prepared: Iterable[_Image], under_way: Iterable[_Study]
    ) -> Iterator[list[_Image]]:
        """Yield batches that the model was shown, and tell the stages of that."""
        for batch in self._batches(prepared):
            _tell(under_way, "inference")
            predicted = self._predicted(batch)
            _tell(under_way, "decoding")
            yield predicted
        _tell(under_way, "interpretation")

    def _batches(self, prepared: Iterable[_Image]) -> Iterator[list[_Image]]:
        batch: list[_Image] = []
        for image in prepared:
            batch.append(image)
            if sum(isinstance(item.outcome, PreparedImage) for item in batch) >= self._batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _analysis_of(self, study: _Study) -> StudyAnalysis:
        answers = [study.answers[position] for position in sorted(study.answers)]
        by_instance: dict[str, list[ImageFindings]] = {}
        for answer in answers:
            by_instance.setdefault(answer.findings.sop_instance_uid, []).append(answer.findings)
        geometries = {
            answer.findings.sop_instance_uid: answer.breast
            for answer in answers
            if answer.is_whole_breast
        }
        images = with_lesions(tuple(map(merged, by_instance.values())), geometries)
        kept = {
            (image.sop_instance_uid, finding.name, finding.frame)
            for image in images
            for finding in image.findings
        }
        manifest = self.manifest.with_thresholds(study.request.thresholds)
        breasts = breasts_of(images, manifest.findings)
        return StudyAnalysis(
            findings=StudyFindings(
                study_instance_uid=study.request.study_instance_uid,
                bundle=self.manifest.identity,
                settings_sha256=settings_sha256(
                    manifest, self.computed_by, study.request.tomosynthesis
                ),
                images=images + study.request.left_out,
                breasts=breasts,
                study=study_of(breasts),
                engine=self.computed_by,
            ),
            heatmaps=tuple(
                heatmap
                for answer in answers
                for heatmap in answer.heatmaps
                if (heatmap.sop_instance_uid, heatmap.finding, heatmap.frame) in kept
            ),
            embedding=summarised([answer.embedding for answer in answers]),
            pixels=mean_of(answer.pixels for answer in answers),
        )

    def _prepared(self, image: _Image) -> _Image:
        on_decoded = image.study.request.on_decoded
        return replace(
            image, outcome=prepared_image(image.shown, self.manifest, on_decoded, self._read)
        )

    def _predicted(self, batch: list[_Image]) -> list[_Image]:
        """Show the model those images of a batch that could be prepared."""
        prepared = [image.outcome for image in batch if isinstance(image.outcome, PreparedImage)]
        predictions = iter(self._predictions(prepared))
        return [
            replace(image, prediction=next(predictions))
            if isinstance(image.outcome, PreparedImage)
            else image
            for image in batch
        ]

    def _predictions(self, prepared: Sequence[PreparedImage]) -> list[Prediction | ComputingError]:
        """Run the model, in halves of the batch if it fails as a whole."""
        if not prepared:
            return []
        try:
            return list(self._answers(prepared))
        except ComputingError as error:
            # Without the frames of the failed attempt, which hold its memory.
            failure = type(error)(*error.args)
        if len(prepared) == 1:
            return [failure]
        half = len(prepared) // 2
        if isinstance(failure, BatchMemoryError):
            self._batch_size = min(self._batch_size, half)
        return [*self._predictions(prepared[:half]), *self._predictions(prepared[half:])]

    def _answers(self, prepared: Sequence[PreparedImage]) -> Iterable[Prediction]:
        predictions = self._model.predict(_channels([image.values for image in prepared]))
        if self._boxes is None:
            return predictions
        squares = [image.detector_values for image in prepared]
        found = self._boxes.detect(_channels([item for item in squares if item is not None]))
        return [
            replace(prediction, boxes=boxes)
            for prediction, boxes in zip(predictions, found, strict=True)
        ]

    def _interpreted(self, batch: list[_Image]) -> list[tuple[_Image, _Answer]]:
        return [(image, self._answer(image)) for image in batch]

    def _answer(self, image: _Image) -> _Answer:
        if isinstance(image.outcome, PreparedImage) and isinstance(image.prediction, Prediction):
            return self._interpret(image, image.outcome, image.prediction)
        problem = image.prediction or image.outcome
        return _failed(image.shown, str(problem))

    def _interpret(self, asked: _Image, prepared: PreparedImage, prediction: Prediction) -> _Answer:
        image = asked.shown
        manifest = self.manifest.with_thresholds(asked.study.request.thresholds)
        findings = findings_of(manifest, prediction, prepared, image.frame)
        return _Answer(
            findings=ImageFindings(
                sop_instance_uid=image.sop_instance_uid,
                frame=image.frame,
                laterality=image.laterality,
                view_position=image.view_position,
                status=ImageStatus.ANALYSED,
                reason="; ".join(filter(None, (image.remark, prepared.remark))),
                findings=findings,
                density_scores=prediction.density_scores,
            ),
            is_whole_breast=prepared.is_whole_breast,
            breast=prepared.breast,
            embedding=prediction.embedding,
            pixels=prepared.pixels,
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


def _images_of(requests: Iterable[StudyRequest], waiting: deque[_Study]) -> Iterator[_Image]:
    """Yield the images of all studies; each study is waited for from then on."""
    for request in requests:
        study = _Study(request)
        waiting.append(study)
        _tell((study,), "decoding")
        for position in range(len(request.images)):
            yield _Image(study=study, position=position)


def _tell(studies: Iterable[_Study], stage: str) -> None:
    for study in studies:
        if study.request.on_stage is not None:
            study.request.on_stage(stage)


def _channels(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return a (B, 3, H, W) batch of one-channel images, its channels one and the same memory."""
    grey = np.stack(values)[:, np.newaxis]
    return np.broadcast_to(grey, (len(grey), 3, *grey.shape[2:]))


def _failed(image: ImageToAnalyse, reason: str) -> _Answer:
    return _Answer(
        findings=ImageFindings(
            sop_instance_uid=image.sop_instance_uid,
            frame=image.frame,
            laterality=image.laterality,
            view_position=image.view_position,
            status=ImageStatus.FAILED,
            reason=reason,
        )
    )
