"""Dense supervision: an image encoder learns where lesions are, before it learns from reports.

No part of the paper: a lesion fills a few cells of a feature map, and image labels alone train a
small network little in the hours that two processor cores have. Here every cell is labelled
with whether a lesion lies on it. Pretraining then begins from this encoder.
"""

import logging
from pathlib import Path
from typing import Any, Final, Self

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from mammoclip_core.findings import DENSITY_CATEGORIES
from mammoclip_core.freed_memory import keep_freed_memory
from mammoclip_core.images.preprocessing import PUBLISHED_MEAN, PUBLISHED_STD
from mammoclip_core.networks.image_encoder import ImageEncoder, pooled
from training.examples.demonstration.cell_targets import PRESENT, UNDECIDED
from training.examples.demonstration.dense_samples import (
    DenseSample,
    DenseSamples,
    DenseSampleSettings,
    joined,
)
from training.learning.finite import finite_loss, require_finite
from training.learning.schedule import learning_rate_factor
from training.pretraining.batches import ResumableBatches
from training.pretraining.checkpoints import Checkpoints
from training.pretraining.label_loss import FINDINGS
from training.pretraining.pretraining_run import FINISHED

_POSITIVE_WEIGHT: Final = 3.0
_BIAS: Final = -3.0


class DenseSupervision(lightning.LightningModule):
    """Teaches an encoder and throw-away heads on its cells and on their mean.

    Parameters
    ----------
    whole_weight : of the answer for the whole image, beside that of its cells
    goes_on : bool
        The encoder has been trained before: its batch norms keep their statistics, which those of
        windows do not resemble, and its stem and first stage stand still, a seventh of the work.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_steps: int = 100,
        whole_weight: float = 0.3,
        density_weight: float = 0.2,
        goes_on: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder.to(memory_format=torch.channels_last)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.whole_weight = whole_weight
        self.density_weight = density_weight
        self.cells = nn.Linear(encoder.size, len(FINDINGS))
        self.whole = nn.Linear(encoder.size, len(FINDINGS) + len(DENSITY_CATEGORIES))
        nn.init.constant_(self.cells.bias, _BIAS)
        self.goes_on = goes_on
        if goes_on:
            backbone = encoder.backbone
            for part in (backbone.conv_stem, backbone.bn1, backbone.blocks[0]):
                part.requires_grad_(requires_grad=False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of training, in which batch norms that keep their statistics stay out."""
        super().train(mode)
        if self.goes_on:
            for part in self.encoder.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Answer for (B, 1, rows, columns) images in [0, 1].

        Returns
        -------
        cells : (B, findings, H, W), logits
        whole : (B, findings + densities), logits
        """
        normalised = ((images - PUBLISHED_MEAN) / PUBLISHED_STD).expand(-1, 3, -1, -1)
        inputs = normalised.contiguous(memory_format=torch.channels_last)
        feature_map = self.encoder.feature_map(inputs)
        cells = self.cells(feature_map.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return cells.float(), self.whole(pooled(feature_map.float())).float()

    def loss_of(self, sample: DenseSample) -> Tensor:
        """Compute the loss of a batch."""
        cells, whole = self(sample.image)
        shown = (sample.cells == PRESENT).flatten(2).any(dim=2).float()
        findings = functional.binary_cross_entropy_with_logits(whole[:, : len(FINDINGS)], shown)
        density = functional.cross_entropy(whole[:, len(FINDINGS) :], sample.density)
        return (
            cell_loss(cells, sample.cells)
            + self.whole_weight * findings
            + self.density_weight * density
        )

    def training_step(self, batch: DenseSample, batch_index: int) -> Tensor:
        """Return the loss of a batch."""
        loss = self.loss_of(batch)
        finite_loss(loss, self.global_step, self.current_epoch)
        self.log("loss", loss.detach())
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to keep weights that are not finite; raises DivergedError."""
        require_finite(checkpoint["state_dict"], "a checkpoint")

    def configure_optimizers(self) -> Any:
        """Return AdamW with warm-up and the square of a cosine."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, self.warmup_steps, total)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def cell_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Compare cells with what is on them; undecided ones count nothing.

    Parameters
    ----------
    logits : (B, findings, H, W)
    truth : (B, findings, H, W), as `cell_truth`

    Returns
    -------
    Tensor
        Sum over the cells that are decided, lesions weighing more, a lesion's share of 1 %.
    """
    decided = (truth != UNDECIDED).float()
    losses = functional.binary_cross_entropy_with_logits(
        logits,
        (truth == PRESENT).float(),
        pos_weight=torch.tensor(_POSITIVE_WEIGHT),
        reduction="none",
    )
    return 20.0 * (losses * decided).sum() / decided.sum().clamp(min=1)


def train_on_cells(
    module: DenseSupervision,
    settings: DenseSampleSettings,
    out: Path,
    *,
    steps: int,
    batch_size: int,
    checkpoint_steps: int = 0,
) -> None:
    """Train on cells; takes up what a killed run left in `out`, or the result of a finished one.

    Parameters
    ----------
    checkpoint_steps : batches between two checkpoints; 0 for one every three minutes
    """
    checkpoints = out / "checkpoints"
    finished, last = checkpoints / FINISHED, checkpoints / "last.ckpt"
    if finished.is_file():
        module.load_state_dict(torch.load(finished, weights_only=True)["state_dict"])
        return
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    keep_freed_memory()
    samples = DenseSamples(settings)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=CSVLogger(out, name="", version="log"),
        callbacks=[Checkpoints(str(checkpoints), minutes=3.0, every_n_steps=checkpoint_steps)],
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        log_every_n_steps=20,
        use_distributed_sampler=False,
    )
    batches = ResumableBatches(
        len(samples), batch_size, settings.seed, step=lambda: trainer.global_step
    )
    loader = DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=joined,
    )
    trainer.fit(module, loader, ckpt_path=str(last) if last.is_file() else None)
    trainer.save_checkpoint(finished)
