"""An engine that answers the prompts of a file in place of its bundle's findings."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from mammoclip_core.analysis.engine import Engine
from mammoclip_core.bundles.prompt_file import PromptSet
from mammoclip_core.engines.devices import chosen_device
from mammoclip_core.engines.embeddings import embed_texts, load_text_model
from mammoclip_core.engines.options import ComputingOptions
from mammoclip_core.engines.torch_bundle import load_model
from mammoclip_core.manifest import FindingEntry
from mammoclip_core.networks.text_model import TextModel


def engine_asking(
    bundle: Path,
    prompts: PromptSet,
    device: str = "cpu",
    options: ComputingOptions | None = None,
) -> Engine:
    """Load a bundle and ask it the prompts of a file alone; raises what `load_model` does."""
    model = load_model(bundle, chosen_device(device), options)
    embeddings = prompt_embeddings(load_text_model(bundle), prompts.findings)
    manifest = replace(
        model.manifest,
        findings=prompts.findings,
        detectors=(),
        scoring=prompts.scoring or model.manifest.scoring,
    )
    return Engine(model.asking(manifest, embeddings), computed_by=model.computer.identity)


def prompt_embeddings(model: TextModel, findings: Iterable[FindingEntry]) -> dict[str, Tensor]:
    """Embed each finding's prompts, one row a side or class.

    An ensemble's row is the mean of its texts' embeddings, brought back to unit length.
    """
    return {
        entry.name: torch.stack(
            [
                functional.normalize(torch.from_numpy(embed_texts(model, texts)).mean(0), dim=0)
                for texts in entry.ensembles or [(text,) for text in entry.prompts]
            ]
        )
        for entry in findings
    }
