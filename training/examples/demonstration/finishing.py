"""From a pretrained bundle to the finished one: Mammo-FActOR, calibration, thresholds, its card."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from mammoclip_core.engines.embeddings import load_text_model
from mammoclip_core.manifest import read_manifest, write_manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from training.bundles.bundle_encoder import read_image_encoder
from training.downstream.calibration import OperatingTarget, calibrate_finding
from training.downstream.new_bundle import with_findings
from training.examples.demonstration.answers import answers_of, labels_of, last_maps
from training.examples.demonstration.block_maps import MirroredMaps
from training.examples.demonstration.localisation_choice import with_best_channels
from training.examples.demonstration.model_card import model_card
from training.examples.demonstration.phantom_images import TrueImage
from training.factor.attributes import attribute_embedding, synthesized_sentences
from training.factor.export import bundle_with_factor, write_factor
from training.factor.feature_maps import ARRAY_NAME, FeatureMaps
from training.factor.fitting import FactorSettings, fit_factor
from training.measures.figures import EvaluationReport, Figure
from training.pretraining.label_loss import FINDINGS

FACTOR_IMAGES: Final = 2400
"""Images that Mammo-FActOR learns from, a fifth of them to choose the epoch."""

FACTOR_SETTINGS: Final = FactorSettings(
    with_clean=True, epochs=9, patience=4, batch_size=16, learning_rate=4e-4
)
"""Not the paper's: beside calcifications alone, what tells masses from nothing is not learned."""

CARD_NAME: Final = "model-card.md"
SPECIFICITY: Final = 0.98
_CHUNK: Final = 16

MapsAndTruth = tuple[Path, list[TrueImage]]
"""Folder of maps behind the encoder's last block, and what is true of the images."""


def finish_bundle(
    plain: Path,
    both: Path,
    *,
    training: MapsAndTruth,
    validation: MapsAndTruth,
    validation_name: str,
    settings: FactorSettings = FACTOR_SETTINGS,
) -> None:
    """Write a bundle that localises by Mammo-FActOR and answers with calibrated probabilities.

    Parameters
    ----------
    training : what Mammo-FActOR learns from, without boxes
    validation : what its channels, calibration and thresholds are chosen on
    validation_name : of the validation images, in words
    """
    maps, truth = maps_of(validation[0]), validation[1]
    file = plain.with_name("factor.safetensors")
    if not file.is_file():
        write_factor(_factor_tensors(plain, training, settings), file)
    middle = plain.with_name("bundle-with-factor")
    shutil.rmtree(middle, ignore_errors=True)
    bundle_with_factor(plain, file, middle)
    tried = with_best_channels(middle, maps, truth)
    both.with_name(f"{both.name}-channels.json").write_text(json.dumps(tried), encoding="utf-8")
    answers = answers_of(middle, maps, truth)
    manifest = read_manifest(middle)
    entries = {
        name: calibrate_finding(
            manifest.finding(name),
            answers.labels[name],
            scores,
            OperatingTarget(specificity=SPECIFICITY),
            data=validation_name,
            domain="phantoms",
        )[0]
        for name, scores in answers.scores.items()
    }
    making = both.with_name(f".{both.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    changed = with_findings(middle, entries, making)
    write_manifest(replace(changed, version=manifest.version), making)
    making.replace(both)


def write_card(
    bundle: Path,
    figures: Sequence[Figure],
    facts: dict[str, str],
    report: Path,
    *,
    words: str,
) -> None:
    """Write the figures as a report into a folder, and the card into the bundle last.

    Parameters
    ----------
    words : how the weights were made
    """
    manifest = read_manifest(bundle)
    ways = {
        entry.finding: f"Mammo-FActOR, {entry.top_channels} channels" for entry in manifest.factor
    }
    facts = {
        "bundle": f"{manifest.name} {manifest.version}",
        "weights (SHA-256)": manifest.weights_sha256,
        "trained on": manifest.trained_on,
        "places found by": "; ".join(
            f"{entry.name}: {ways.get(entry.name, 'class activation')}" for _, entry in FINDINGS
        ),
        **facts,
    }
    EvaluationReport(made_with=facts, figures=figures).write(report)
    (bundle / CARD_NAME).write_text(model_card(figures, facts, words), encoding="utf-8")


def _factor_tensors(
    plain: Path, training: MapsAndTruth, settings: FactorSettings
) -> dict[str, torch.Tensor]:
    encoder, _ = read_image_encoder(plain)
    folder, truth = training
    names = [entry.name for _, entry in FINDINGS]
    labels = np.stack([labels_of(truth, name) for name in names], axis=1).astype(np.int64)
    shown = np.arange(min(len(truth), FACTOR_IMAGES))
    maps = _last_maps(encoder, maps_of(folder), shown)
    model = load_text_model(plain)
    patients = np.array([truth[place].patient_id for place in shown])
    last = np.unique(patients)[-len(np.unique(patients)) // 5 :]
    fitted = fit_factor(
        MirroredMaps(maps),  # type: ignore[arg-type]
        labels[shown],
        {
            entry.name: attribute_embedding(model, synthesized_sentences(attribute))
            for attribute, entry in FINDINGS
        },
        np.isin(patients, last),
        settings,
    )
    return {name: value.half() for name, value in fitted.tensors().items()}


def _last_maps(
    encoder: ImageEncoder, block_maps: FeatureMaps, places: NDArray[np.intp]
) -> FeatureMaps:
    """Compute the last feature maps of some images, (N, 1, C, H, W)."""
    parts = [
        last_maps(encoder, block_maps[places[start : start + _CHUNK]]).astype(np.float16)
        for start in range(0, len(places), _CHUNK)
    ]
    return np.concatenate(parts)[:, None]


def maps_of(folder: Path) -> FeatureMaps:
    """Open the maps of a folder, (N, 1, c, H, W), from disk."""
    maps: FeatureMaps = np.load(folder / ARRAY_NAME, mmap_mode="r")
    return maps
