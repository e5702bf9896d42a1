"""Fine-tuned classifiers: an image encoder of its own and one linear layer on pooled features."""

from dataclasses import replace
from typing import Final

from torch import Tensor, nn

from mammoclip_core.errors import CheckpointError
from mammoclip_core.findings import DENSITY_CATEGORIES, FindingSource
from mammoclip_core.lexicon import DENSITY, MALIGNANCY, MASS, SUSPICIOUS_CALCIFICATION
from mammoclip_core.manifest import MEAN_AGGREGATION, FindingEntry
from mammoclip_core.networks.image_encoder import ImageEncoder

HEAD_FINDINGS: Final = {
    "mass": MASS,
    "calcification": SUSPICIOUS_CALCIFICATION,
    "suspicious_calcification": SUSPICIOUS_CALCIFICATION,
    "cancer": MALIGNANCY,
    "malignancy": MALIGNANCY,
    "density": DENSITY,
}
"""Finding of each head name: the file does not state it, so the user of `convert` must."""


class FineTunedClassifier(nn.Module):
    """Logits, (B, outputs), of images: no projection and no unit length in between."""

    def __init__(self, encoder: ImageEncoder, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(encoder.size, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits."""
        logits: Tensor = self.linear(self.encoder(images))
        return logits


def finding_of_head(name: str, outputs: int) -> FindingEntry:
    """Return the manifest's entry of the finding that a head answers.

    Raises
    ------
    CheckpointError
        No head of this name is known, or it has another number of outputs.
    """
    entry = HEAD_FINDINGS.get(name)
    if entry is None:
        raise CheckpointError(f"head {name!r} is none of {', '.join(HEAD_FINDINGS)}")
    expected = len(DENSITY_CATEGORIES) if entry is DENSITY else 1
    if outputs != expected:
        raise CheckpointError(f"head {name} needs {expected} outputs, its file has {outputs}")
    # The published evaluation of cancer takes the mean over a breast's images, of the others none.
    aggregation = MEAN_AGGREGATION if entry is MALIGNANCY else entry.aggregation
    return replace(
        entry,
        source=FindingSource.HEAD,
        head=name,
        classes=outputs if outputs > 1 else 0,
        aggregation=aggregation,
    )
