"""The demonstration's model as a bundle: half precision, three findings, where it was trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from mammoclip_core.bundles.writing import write_bundle
from mammoclip_core.findings import LocalisationMethod
from mammoclip_core.lexicon import DENSITY, MASS, SUSPICIOUS_CALCIFICATION
from mammoclip_core.manifest import (
    PUBLISHED_MODE,
    TEMPERED_SCORING,
    EncoderEntry,
    FindingEntry,
    Manifest,
    Preprocessing,
)
from training.bundles.bundle_copy import making_bundle
from training.pretraining.network import RANDOM, NetworkSettings
from training.pretraining.pretraining_module import Pretraining, settings_of

NAME: Final = "demonstration"
VERSION: Final = "1.0.0-phantoms"
TRAINED_ON: Final = "synthetic phantoms"
WARNING: Final = "trained on synthetic phantoms, never on a mammogram"
FINDINGS: Final[Sequence[FindingEntry]] = (MASS, SUSPICIOUS_CALCIFICATION, DENSITY)


def read_pretraining(checkpoint: Path, kind: type[Pretraining] = Pretraining) -> Pretraining:
    """Build the module that a checkpoint of `pretrain` holds, with its weights and settings."""
    content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = NetworkSettings(**{**content["network"], "image_weights": RANDOM})
    module = kind(network, **settings_of(content))
    module.load_state_dict(content["state_dict"])
    return module.eval()


@torch.no_grad()
def export_bundle(
    module: Pretraining,
    out: Path,
    *,
    name: str = NAME,
    version: str = VERSION,
    trained_on: str = TRAINED_ON,
    warning: str = WARNING,
) -> Manifest:
    """Write a bundle, whole or not at all; the prompts are embedded by the weights as rounded."""
    module.model.half().float()
    module.model.logit_scale.copy_(module.scale().log())
    network = module.network
    prompts = {
        entry.name: module.model.encode_text(module.tokenizer(list(entry.prompts))).float()
        for entry in FINDINGS
    }
    manifest = Manifest(
        name=name,
        version=version,
        weights_sha256="",
        licence="Apache-2.0",
        permitted_use="demonstration use",
        trained_on=trained_on,
        intended_use="showing that the system runs; no statement about any mammogram",
        warning=warning,
        encoders=(
            EncoderEntry(name="image", architecture=network.architecture, padding=network.padding),
        ),
        text_encoder=module.text,
        projection_size=network.projection_size,
        logit_scale=float(module.model.logit_scale),
        preprocessing=Preprocessing(
            mode=PUBLISHED_MODE,
            rows=network.rows,
            columns=network.columns,
            mean=network.mean,
            std=network.std,
        ),
        findings=tuple(replace(entry, threshold=0.5) for entry in FINDINGS),
        attribution=LocalisationMethod.CAM.value,
        projection=network.projection,
        scoring=TEMPERED_SCORING,
        beyond_the_paper=module.beyond_the_paper,
    )
    module.model.half()
    with making_bundle(out) as folder:
        state, tokenizer = module.model.state_dict(), Path(network.tokenizer)
        written = write_bundle(state, manifest, prompts, tokenizer, folder)
    module.model.float()
    return written
