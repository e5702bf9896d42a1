"""An engine that answers the prompts of a file in place of its bundle's findings."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.analysis.engine import Engine
from mammoclip_core.bundles.prompt_file import PromptSet
from mammoclip_core.engines.choice import network_library
from mammoclip_core.engines.computing_options import ComputingOptions, EngineName
from mammoclip_core.engines.embeddings import embed_texts, load_text_model
from mammoclip_core.engines.loading import load_bundle
from mammoclip_core.manifest import FindingEntry
from mammoclip_core.networks.text_model import TextModel


def load_prompted_engine(
    bundle: Path,
    prompts: PromptSet,
    device: str = "cpu",
    options: ComputingOptions | None = None,
) -> Engine:
    """Load a bundle that answers the prompts of a file alone; raises what `load_engine` does.

    torch computes it on every device: the texts need it anyway.
    """
    library = network_library(EngineName.TORCH, device, options)
    predictor, _ = load_bundle(bundle, library)
    manifest = replace(
        predictor.manifest,
        findings=prompts.findings,
        detectors=(),
        scoring=prompts.scoring or predictor.manifest.scoring,
    )
    embeddings = prompt_embeddings(load_text_model(bundle), prompts.findings)
    return Engine(predictor.with_prompts(manifest, embeddings), computed_by=library.identity)


def prompt_embeddings(
    model: TextModel, findings: Iterable[FindingEntry]
) -> dict[str, NDArray[np.float32]]:
    """Embed each finding's prompts, one row a side or class.

    An ensemble's row is the mean of its texts' embeddings, brought back to unit length.
    """
    return {
        entry.name: np.stack(
            [
                _unit_mean(embed_texts(model, texts))
                for texts in entry.ensembles or [(text,) for text in entry.prompts]
            ]
        )
        for entry in findings
    }


def _unit_mean(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = embeddings.mean(axis=0)
    unit: NDArray[np.float32] = mean / np.linalg.norm(mean)
    return unit
