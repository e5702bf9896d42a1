"""One step of pretraining, as Lightning runs it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any, Final

import lightning
import torch
from torch import Tensor
from torch.nn import functional

from mammoclip_core.networks.image_encoder import pooled
from mammoclip_core.networks.mammo_clip import MammoClip
from training.learning.finite import finite_loss, require_finite
from training.learning.losses import (
    MultiViewEmbeddings,
    SupervisionWeights,
    gathered,
    local_loss,
    multi_view_loss,
)
from training.learning.schedule import learning_rate_factor
from training.pretraining.batches import SENTENCES, Batch, chunks_of
from training.pretraining.gradient_cache import average_gradients, cached_backward
from training.pretraining.label_loss import PROMPTS, LabelLoss
from training.pretraining.network import (
    NetworkSettings,
    build_network,
    save_gradient_memory,
    settled,
)
from training.pretraining.resumed_settings import (
    Facts,
    network_facts,
    require_same,
    require_shapes,
    tokenizer_facts,
)
from training.pretraining.validation_figures import ValidationFigures
from training.terminal import say

_RANDOM_STATE: Final = "random_state"
_FACTS: Final = "facts"
_STEPS: Final = "steps"

_KEPT_SETTINGS: Final = (
    "learning_rate",
    "image_learning_rate",
    "weight_decay",
    "warmup_epochs",
    "label_smoothing",
    "label_weight",
    "multi_view_weight",
    "gradient_clip",
    "largest_scale",
    "local_weight",
)
"""What a run that is taken up must keep; memory and speed may change."""


class Pretraining(lightning.LightningModule):
    """Multi-view supervision of a Mammo-CLIP; the defaults are the paper's.

    Parameters
    ----------
    weights : SupervisionWeights or None
        Weights of the kinds of pairs in the loss. Default: the paper's.
    learning_rate : float
        Peak learning rate.
    image_learning_rate : float or None
        Peak learning rate of the image encoder. Default: as learning_rate.
    weight_decay : float
        Weight decay of AdamW.
    warmup_epochs : float
        Epochs in which the learning rate rises to its peak.
    label_smoothing : [0, 1]
        Label smoothing of the contrastive loss.
    label_weight : float
        Weight of the loss on labels of image-label sets. The paper has no such loss; 0 leaves it
        out.
    multi_view_weight : float
        Weight of the paper's loss.
    chunk_size : int
        Breasts computed at a time, 0 for the whole batch. Allows batches larger than memory holds,
        with the gradient of the whole batch.
    gradient_checkpointing : bool
        Recompute activations in the backward pass: less memory, more time.
    gradient_clip : float
        Largest norm of the gradient; 0 for no limit.
    channels_last : bool
        Memory layout of images; faster on most machines.
    largest_scale : float
        Upper limit of the factor on the cosines, which is 1 / temperature.
    local_weight : float
        Weight of a loss that compares cells of images with sentences of texts. The paper has no
        such loss; 0 leaves it out.
    """

    def __init__(
        self,
        network: NetworkSettings,
        weights: SupervisionWeights | None = None,
        *,
        learning_rate: float = 5e-5,
        image_learning_rate: float | None = None,
        weight_decay: float = 1e-4,
        warmup_epochs: float = 1.0,
        label_smoothing: float = 0.0,
        label_weight: float = 0.0,
        multi_view_weight: float = 1.0,
        chunk_size: int = 0,
        gradient_checkpointing: bool = False,
        gradient_clip: float = 0.0,
        channels_last: bool = True,
        largest_scale: float = 100.0,
        local_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network = settled(network)
        self.weights = weights or SupervisionWeights()
        self.learning_rate = learning_rate
        self.image_learning_rate = image_learning_rate or learning_rate
        self.weight_decay = weight_decay
        self.warmup_epochs = warmup_epochs
        self.label_smoothing = label_smoothing
        self.label_weight = label_weight
        self.multi_view_weight = multi_view_weight
        self.chunk_size = chunk_size
        self.gradient_clip = gradient_clip
        self.largest_scale = largest_scale
        self.local_weight = local_weight
        self.model: MammoClip
        self.model, self.tokenizer, self.text = build_network(network)
        self.label_loss = LabelLoss() if label_weight > 0 else None
        self.channels_last = channels_last
        if channels_last:
            self.model.image_encoder.to(memory_format=torch.channels_last)
        if gradient_checkpointing:
            save_gradient_memory(self.model)
        self._restored: Tensor | None = None
        self._figures = ValidationFigures()
        self._words = tokenizer_facts(network)

    def forward(self, batch: Batch) -> tuple[Tensor, ...]:
        """Compute what the loss stands on: four embeddings a breast, and the loss on its labels.

        Returns
        -------
        first images, second images, first texts, second texts : (B, D) of L2 norm 1
        label losses : (B, 1)
        cells of first and second images, sentences of first and second texts : (B, parts, D)
            Where parts are compared.
        """
        count = len(batch.images)
        images = batch.images.transpose(0, 1).flatten(0, 1)
        feature_map = self.feature_map(images).float()
        features = functional.dropout(pooled(feature_map), self.network.dropout, self.training)
        image_embeddings = self.model.project_features(features)
        text_embeddings = self.model.encode_text(batch.tokens).float()
        label_losses = image_embeddings.new_zeros(count, 1)
        if self.label_loss is not None:
            prompts = self._prompts()
            loss = self.label_loss(
                feature_map,
                projection=self.model.image_projection,
                embeddings=image_embeddings,
                prompts=prompts,
                scale=self.scale(),
                labels=batch.labels.transpose(0, 1).flatten(0, 1),
            )
            label_losses = label_losses + loss
        return (
            *image_embeddings.float().tensor_split(2),
            *text_embeddings.tensor_split(2),
            label_losses,
            *self._local_parts(feature_map, batch),
        )

    @property
    def beyond_the_paper(self) -> dict[str, str]:
        """Return the options that the paper does not have, for the bundle to state."""
        weights = {"label_weight": self.label_weight, "local_weight": self.local_weight}
        return {name: f"{value:g}" for name, value in weights.items() if value > 0}

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the feature maps, (B, C, H, W), of what the data gives for images."""
        return self.model.image_encoder.feature_map(self._as_input(images))

    def scale(self) -> Tensor:
        """Return the temperature's factor on the cosines."""
        return self.model.logit_scale.exp().clamp(max=self.largest_scale)

    def loss_of(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Compute the loss of what `forward` returns, over all ranks."""
        views, label_losses, local = parts[:4], parts[4], parts[5:]
        loss = self.multi_view_weight * multi_view_loss(
            MultiViewEmbeddings(*views),
            self.scale(),
            self.weights,
            label_smoothing=self.label_smoothing,
        )
        if self.label_loss is not None:
            loss = loss + self.label_weight * gathered(label_losses).mean()
        if self.local_weight > 0:
            first, second, own, others = local
            both = local_loss(first, own, self.scale()) + local_loss(second, others, self.scale())
            loss = loss + self.local_weight * both / 2
        return loss

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Move the weights by one batch."""
        optimizer = self.optimizers()
        optimizer.zero_grad()  # type: ignore[union-attr]
        if 0 < self.chunk_size < len(batch.images):
            loss = cached_backward(
                self,
                chunks_of(batch, self.chunk_size),
                self._embedded,
                self.loss_of,
                self.manual_backward,
                unsynchronised=self._unsynchronised,
            )
            average_gradients(self)
        else:
            loss = self.loss_of(self(batch))
            self.manual_backward(loss)
        finite_loss(loss, self.global_step, self.current_epoch)
        optimizer.step()  # type: ignore[union-attr]
        self.lr_schedulers().step()  # type: ignore[union-attr]
        self.log("train_loss", loss.detach(), prog_bar=True)
        self.log("learning_rate", optimizer.param_groups[0]["lr"])  # type: ignore[union-attr]
        self.log("scale", self.scale().detach())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Limit the gradient's norm: here a scaler of half precision has unscaled it already."""
        if self.gradient_clip > 0:
            self.clip_gradients(optimizer, self.gradient_clip)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the loss of a validation batch.

        Raises
        ------
        DivergedError
            It is not finite, though the training's losses may be: nothing is published.
        """
        parts = self(batch)
        loss = self.loss_of(parts)
        if not self.trainer.sanity_checking:
            finite_loss(loss, self.global_step - 1, self.current_epoch, "the validation loss")
        self.log("validation_loss", loss, batch_size=len(batch.images), sync_dist=True)
        first, second, texts = (self._of_all_ranks(part) for part in parts[:3])
        self._figures.add((first, second), texts, self._of_all_ranks(batch.labels))

    def on_validation_epoch_end(self) -> None:
        """Log how well images find their reports, and findings by prompts where labels are known.

        The figures steer nothing: the best epoch is that of the smallest loss.
        """
        told = self._figures.figures(self._prompts())
        self._figures = ValidationFigures()
        if not self.trainer.sanity_checking:
            self.log_dict(told, rank_zero_only=True)

    def configure_optimizers(self) -> Any:
        """Return AdamW with warm-up and the square of a cosine."""
        groups: list[dict[str, Any]] = [
            {"params": _trained(self.model.image_encoder), "lr": self.image_learning_rate},
            {
                "params": [
                    value
                    for name, value in self.named_parameters()
                    if value.requires_grad and not name.startswith("model.image_encoder.")
                ]
            },
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, weight_decay=self.weight_decay)
        total = int(self.trainer.estimated_stepping_batches)
        if self.trainer.num_training_batches == float("inf"):  # where only max_steps is given
            self.trainer.fit_loop.setup_data()
        warmup = round(self.warmup_epochs * float(self.trainer.num_training_batches))
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, warmup, total)
        )
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the random numbers, so that a resumed run goes on as this one.

        Raises
        ------
        DivergedError
            A weight is not finite: the checkpoint before stays the last.
        """
        require_finite(checkpoint["state_dict"], "a checkpoint")
        checkpoint[_RANDOM_STATE] = torch.get_rng_state()
        checkpoint["network"] = asdict(self.network)
        checkpoint[_FACTS] = self._facts()
        checkpoint[_STEPS] = int(self.trainer.estimated_stepping_batches)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the state of the random numbers until training begins.

        Raises
        ------
        SettingsError
            The checkpoint is of a run with other settings, or of another network.
        """
        require_same(checkpoint.get(_FACTS, {}), self._facts())
        require_shapes(checkpoint["state_dict"], self.state_dict())
        steps = int(self.trainer.estimated_stepping_batches)
        former = checkpoint.get(_STEPS, steps)
        if steps != former:
            say(
                f"the run ends after {steps} steps in place of {former}: from here the learning "
                "rate falls as over a run of this length"
            )
        self._restored = checkpoint.get(_RANDOM_STATE)

    def on_train_start(self) -> None:
        """Take up the random numbers of the run that is resumed."""
        if self._restored is not None:
            torch.set_rng_state(self._restored.cpu())
            self._restored = None

    def _prompts(self) -> Tensor:
        """Embed the prompts of the lexicon's findings, (P, D)."""
        tokens = self.tokenizer(PROMPTS).items()
        embedded = self.model.encode_text({name: value.to(self.device) for name, value in tokens})
        return embedded.float()

    def _local_parts(self, feature_map: Tensor, batch: Batch) -> tuple[Tensor, ...]:
        """Compute cells of both images, (B, P, D), and sentences of both texts, (B, S, D)."""
        if self.local_weight == 0:
            return ()
        cells = self.model.project_features(feature_map.flatten(2).transpose(1, 2)).float()
        lines = self.model.encode_text(batch.sentences).float()
        sentences = lines.reshape(-1, SENTENCES, lines.shape[1])
        return (*cells.tensor_split(2), *sentences.tensor_split(2))

    def _of_all_ranks(self, values: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return values
        return torch.as_tensor(self.all_gather(values)).flatten(0, 1)

    def _facts(self) -> Facts:
        chosen = {name: getattr(self, name) for name in _KEPT_SETTINGS}
        facts = {f"model.{name}": value for name, value in chosen.items()}
        facts["model.weights"] = asdict(self.weights)
        return facts | network_facts(self.network) | self._words

    def _embedded(self, batch: Batch) -> tuple[Tensor, ...]:
        with self.trainer.precision_plugin.forward_context():
            embedded: tuple[Tensor, ...] = self(batch)
        return embedded

    def _unsynchronised(self) -> AbstractContextManager[Any]:
        strategy = self.trainer.strategy
        block = getattr(strategy, "block_backward_sync", None)
        return nullcontext() if block is None else block()

    def _as_input(self, images: Tensor) -> Tensor:
        normalised = (images - self.network.mean) / self.network.std
        inputs = normalised.expand(-1, 3, -1, -1)
        return inputs.contiguous(
            memory_format=torch.channels_last if self.channels_last else torch.contiguous_format
        )


def settings_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, by `Pretraining`'s names, of the run that a checkpoint is of."""
    facts: Facts = checkpoint[_FACTS]
    known = {name: facts.get(f"model.{name}") for name in _KEPT_SETTINGS}
    return {name: value for name, value in known.items() if value is not None}


def _trained(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [value for value in module.parameters() if value.requires_grad]
