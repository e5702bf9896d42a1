"""From predictions to findings and heatmaps in source-image pixels."""

import hashlib
import json
import math
from dataclasses import asdict, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.analysis import attribution
from mammoclip_core.findings import (
    BOX_THRESHOLD,
    EngineIdentity,
    Finding,
    FindingSource,
    LocalisationMethod,
    Region,
)
from mammoclip_core.images.detector_input import box_regions
from mammoclip_core.images.preprocessing import CropGeometry, PreparedImage
from mammoclip_core.images.tomosynthesis import Tomosynthesis
from mammoclip_core.manifest import (
    PUBLISHED_SCORING,
    TEMPERED_SCORING,
    FindingEntry,
    Manifest,
)
from mammoclip_core.negative_classes import is_negative_label
from mammoclip_core.prediction import Prediction

SCORING_WORDS: Final = {
    PUBLISHED_SCORING: "softmax over cosines without temperature",
    TEMPERED_SCORING: "softmax over cosines times the temperature's factor",
}
"""How a pair of prompts is scored; the published zero-shot evaluation uses no temperature."""

_WITH_HEATMAP: Final = frozenset(LocalisationMethod) - {
    LocalisationMethod.BOX,
    LocalisationMethod.NONE,
}

SCORE_MARGIN: Final = 1e-6
"""Keeps the logit of a score finite."""


def settings_sha256(
    manifest: Manifest,
    engine: EngineIdentity,
    tomosynthesis: Tomosynthesis = Tomosynthesis.REFUSE,
) -> str:
    """Condense the settings that can change the answer to 64 hexadecimal digits."""
    settings: dict[str, Any] = {
        "preprocessing": asdict(manifest.preprocessing),
        "engine": engine.name,
        "precision": engine.precision,
        "scoring": SCORING_WORDS[manifest.scoring],
        "attribution": manifest.attribution,
        "factor": [asdict(entry) for entry in manifest.factor],
        "region_threshold": attribution.DEFAULT_THRESHOLD,
        "region_count": attribution.DEFAULT_MAX_REGIONS,
        "region_area_pixels": attribution.DEFAULT_MIN_AREA,
        "findings": [
            [
                entry.name,
                entry.source,
                entry.head,
                entry.threshold,
                entry.calibration,
                entry.isotonic,
                entry.prompts,
                entry.ensembles,
                entry.labels,
                entry.aggregation,
            ]
            for entry in manifest.findings
        ],
    }
    negative = {item.name: item.negative_labels for item in manifest.findings}
    if any(negative.values()):
        settings["negative_labels"] = negative
    if manifest.detectors:
        settings["detectors"] = [asdict(entry) for entry in manifest.detectors]
    if tomosynthesis is not Tomosynthesis.REFUSE:
        settings["tomosynthesis"] = tomosynthesis
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def findings_of(
    manifest: Manifest, prediction: Prediction, image: PreparedImage, frame: int = 1
) -> tuple[Finding, ...]:
    """Read the findings of one frame off a prediction, in the manifest's order.

    A finding above its threshold gets its regions. Density is not a finding; of any other class set
    each class has a score, and the one of the highest share is above its threshold, unless it is a
    negative class such as ``normal``.
    """
    return tuple(
        replace(finding, frame=frame)
        for entry in manifest.findings
        if not entry.is_density
        for finding in (
            _classes_of(entry, manifest, prediction.class_scores[entry.name])
            if entry.is_class_set
            else (_finding_of(entry, manifest, prediction, image),)
        )
    )


def shown_names(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Choose the findings whose heatmaps are worth a picture.

    All that are localised and above their threshold; where none is, the one of the highest score,
    so that there is something to look at for every image.
    """
    localised = [item for item in findings if item.method in _WITH_HEATMAP]
    above = tuple(item.name for item in localised if item.above_threshold)
    if above or not localised:
        return above
    return (max(localised, key=lambda item: item.score).name,)


def on_extent(values: NDArray[np.float32], geometry: CropGeometry) -> NDArray[np.float32]:
    """Bring an activation that covers the model input to the extent of the geometry.

    The same values, save where the crop joined several parts of the source: then at source
    resolution, and 0 between the parts.
    """
    if not geometry.is_joined:
        return values
    left, top, right, bottom = (int(edge) for edge in geometry.extent)
    columns, rows = (
        np.concatenate([np.arange(start, stop) for start, stop in runs])
        for runs in (geometry.column_runs, geometry.row_runs)
    )
    whole = np.zeros((bottom - top, right - left), np.float32)
    joined = cv2.resize(values, (len(columns), len(rows)), interpolation=cv2.INTER_LINEAR)
    whole[np.ix_(rows - top, columns - left)] = joined
    return whole


def calibrated(score: float, entry: FindingEntry) -> float:
    """Apply a finding's calibration: Platt scaling of the score's logit, or isotonic regression.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines (1999); Zadrozny and Elkan,
    Transforming classifier scores into accurate multiclass probability estimates (KDD 2002).
    """
    if entry.isotonic:
        knots, values = zip(*entry.isotonic, strict=True)
        return float(np.interp(score, knots, values))
    if entry.calibration is None:
        return score
    slope, intercept = entry.calibration
    inner = min(max(score, SCORE_MARGIN), 1.0 - SCORE_MARGIN)
    exponent = slope * math.log(inner / (1.0 - inner)) + intercept
    return 0.5 * (1.0 + math.tanh(0.5 * exponent))


def _classes_of(
    entry: FindingEntry, manifest: Manifest, shares: tuple[float, ...]
) -> tuple[Finding, ...]:
    highest = max(shares)
    return tuple(
        Finding(
            name=f"{entry.name}.{label}",
            code=f"99MAMMOCLIP|{entry.name}.{label}|{label}",
            class_of=entry.name,
            score=share,
            calibrated=False,
            above_threshold=share == highest and not _is_negative(entry, label),
            source=entry.source,
            method=LocalisationMethod.NONE,
            encoder=manifest.encoder_of(entry),
            prompts=texts,
        )
        for label, share, texts in zip(entry.labels, shares, entry.ensembles, strict=True)
    )


def _is_negative(entry: FindingEntry, label: str) -> bool:
    return label in entry.negative_labels or is_negative_label(label, entry.name)


def _finding_of(
    entry: FindingEntry, manifest: Manifest, prediction: Prediction, image: PreparedImage
) -> Finding:
    detector = manifest.detector_of(entry)
    boxes = prediction.boxes.get(detector.name, ()) if detector else ()
    if entry.source is FindingSource.DETECTOR:
        score = calibrated(max((item.score for item in boxes), default=0.0), entry)
    else:
        score = calibrated(prediction.scores[entry.name], entry)
    activation = prediction.activations.get(entry.name)
    above_threshold = score >= entry.threshold
    details: dict[str, Any] = {"method": LocalisationMethod.NONE}
    if detector is not None:
        details["method"] = LocalisationMethod.BOX
        if above_threshold:
            details["regions"] = _judged_boxes(box_regions(boxes, image), entry)
    elif activation is not None:
        details["method"] = prediction.methods.get(
            entry.name, LocalisationMethod(manifest.attribution)
        )
        if above_threshold:
            details["regions"] = attribution.regions_of(
                on_extent(activation, image.geometry),
                image.geometry.extent,
                (image.source_rows, image.source_columns),
            )
    return Finding(
        name=entry.name,
        code=entry.code,
        score=score,
        calibrated=entry.is_calibrated,
        above_threshold=above_threshold,
        threshold=entry.threshold,
        source=entry.source,
        encoder=manifest.encoder_of(entry),
        head=entry.head or "",
        prompts=_texts_of(entry) if entry.source is FindingSource.PROMPT else (),
        **details,
    )


def _judged_boxes(regions: tuple[Region, ...], entry: FindingEntry) -> tuple[Region, ...]:
    """Judge each box by its own score: as the finding is where the detector scores the finding.

    A detector beside another source of the score only tells places. Its boxes keep the detector's
    score and are held against the threshold that its authors report boxes by.
    """
    if entry.source is not FindingSource.DETECTOR:
        return tuple(
            replace(region, above_threshold=region.score >= BOX_THRESHOLD) for region in regions
        )
    scores = [calibrated(region.score, entry) for region in regions]
    return tuple(
        replace(
            region,
            score=score,
            calibrated=entry.is_calibrated,
            above_threshold=score >= entry.threshold,
        )
        for region, score in zip(regions, scores, strict=True)
    )


def _texts_of(entry: FindingEntry) -> tuple[str, ...]:
    return tuple(text for texts in entry.ensembles for text in texts) or entry.prompts
