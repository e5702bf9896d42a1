"""A small complete bundle of seeded random weights, which say nothing about any image."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from drawn_weights import drawn_weight, text_config, write_tokenizer
from safetensors import safe_open

from mammoclip_core.bundles.writing import write_arrays
from mammoclip_core.findings import LocalisationMethod
from mammoclip_core.lexicon import DEFAULT_FINDINGS
from mammoclip_core.manifest import EncoderEntry, Manifest, Preprocessing

NAME: Final = "random"
VERSION: Final = "0.1.0-untrained"
WARNING: Final = "UNTRAINED: random weights, outputs mean nothing"
SEED: Final = 20240520
ROWS: Final = 380
COLUMNS: Final = 228
ARCHITECTURE: Final = "tf_efficientnet_b0"
PROJECTION_SIZE: Final = 128

COMPUTED: Final = Path(__file__).with_name("random_bundle.safetensors")
"""Statistics, offset and prompt embeddings of the drawn weights, and what is to be drawn."""

PROMPT_PREFIX: Final = "prompts."

THRESHOLDS: Final[Mapping[str, float]] = {
    "mass": 0.5,
    "suspicious_calcification": 0.529,
    "malignancy": 0.52,
}
"""Chosen so that some mammograms of the test data have a finding and others have none."""

PUBLISHED_MEAN: Final = 0.3089279
PUBLISHED_STD: Final = 0.25053555408335154


def make_random_bundle(folder: Path) -> Manifest:
    """Write a small complete bundle with random weights into an existing empty folder.

    The weights are the same to the bit everywhere: they are drawn by a generator that is frozen,
    and what was once computed from them lies beside this file: BatchNorm statistics and the image
    projection's offset, such that images differ in their scores, and the prompts' embeddings.

    Returns
    -------
    Manifest
        As written.
    """
    with safe_open(COMPUTED, framework="np") as file:
        shapes = json.loads(file.metadata()["drawn"])
        computed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
    prompts = {
        name.removeprefix(PROMPT_PREFIX): computed.pop(name)
        for name in list(computed)
        if name.startswith(PROMPT_PREFIX)
    }
    drawn = {
        name: drawn_weight(name, tuple(shape), SEED).astype(np.float16)
        for name, shape in shapes.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer_folder = Path(scratch) / "tokenizer"
        texts = [prompt for entry in DEFAULT_FINDINGS for prompt in entry.prompts]
        manifest = random_manifest(text_config(write_tokenizer(tokenizer_folder, texts)))
        return write_arrays(drawn | computed, manifest, prompts, tokenizer_folder, folder)


def random_manifest(text_config: dict[str, int]) -> Manifest:
    """Return what the bundle says of itself."""
    return Manifest(
        name=NAME,
        version=VERSION,
        weights_sha256="",
        licence="Apache-2.0",
        permitted_use="demonstration use",
        trained_on="nothing: random weights",
        intended_use="showing that the system runs; no statement about any image",
        warning=WARNING,
        encoders=(EncoderEntry(name="image", architecture=ARCHITECTURE, padding="published"),),
        text_encoder={"config": text_config, "pooling": "eos", "do_lower_case": True},
        projection_size=PROJECTION_SIZE,
        preprocessing=Preprocessing(
            mode="published", rows=ROWS, columns=COLUMNS, mean=PUBLISHED_MEAN, std=PUBLISHED_STD
        ),
        findings=tuple(
            replace(entry, threshold=THRESHOLDS.get(entry.name, entry.threshold))
            for entry in DEFAULT_FINDINGS
        ),
        attribution=LocalisationMethod.CAM.value,
    )
