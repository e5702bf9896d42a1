"""What pretraining leaves: resumable checkpoints, and the published layout for everybody else."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from mammoclip_core.networks.mammo_clip import MammoClip
from mammoclip_core.published.bert_layout import OWN_PREFIX
from mammoclip_core.published.checkpoint_layout import TEXT_PREFIX, encoder_plan, projection_plan
from mammoclip_core.published.models import ENCODER_NAMES
from training.learning.finite import require_finite
from training.pretraining.network import NetworkSettings
from training.pretraining.pretraining_module import Pretraining
from training.terminal import say
from training.whole_file import whole_file

_IMAGE_PREFIX: Final = "image_encoder."
_OPTIONS: Final = "options"
_VALIDATE: Final = (
    "see --trainer.limit_val_batches, check_val_every_n_epoch, val_check_interval and max_steps"
)


class Checkpoints(ModelCheckpoint):
    """Keeps the newest state in ``checkpoints/last.ckpt``, to go on from after a kill.

    One is written at the end of each epoch, too, once it has been validated. None is written
    between an epoch's last batch and its validation: a run that goes on from there would begin the
    next epoch, and never judge or publish this one.

    Parameters
    ----------
    minutes : between two of them
    """

    def __init__(self, folder: str, minutes: float = 10.0, every_n_steps: int = 0) -> None:
        super().__init__(
            dirpath=folder,
            filename="newest",
            save_last=True,
            save_top_k=1,
            monitor=None,
            train_time_interval=None if every_n_steps else timedelta(minutes=minutes),
            every_n_train_steps=every_n_steps or None,
            enable_version_counter=False,
        )

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep the state when it is time for it, unless a validation is next."""
        if not trainer.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Keep the state of an epoch that has been validated."""
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)


class FreeOptions(lightning.Callback):
    """Says at a resume which options have changed that a run need not keep.

    Parameters
    ----------
    options : by their names on the command line, besides the precision
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Keep the options in the checkpoint."""
        checkpoint[_OPTIONS] = self._all(trainer)

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Name the options that differ, as they were and as they are."""
        former = checkpoint.get(_OPTIONS, {})
        changed = [
            f"{name} was {former[name]}, is {value}"
            for name, value in self._all(trainer).items()
            if name in former and former[name] != value
        ]
        if changed and trainer.is_global_zero:
            say(f"the run goes on with other options: {'; '.join(changed)}")

    def _all(self, trainer: lightning.Trainer) -> dict[str, Any]:
        return {"--trainer.precision": str(trainer.precision), **self._options}


class WholeCheckpoints(TorchCheckpointIO):
    """Writes Lightning's checkpoints to a disk as every other file of a training is written."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; where the disk is full, the former one stays."""
        with whole_file(Path(path)) as stream:
            torch.save(checkpoint, stream)


class PublishedCheckpoints(lightning.Callback):
    """Writes ``model-epoch-N.tar`` in the published layout after each epoch that is validated.

    ``model-best.tar`` is the one of the smallest validation loss.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._best = float("inf")
        self._is_published = False

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Say where it can be foreseen that nothing will be published."""
        every, epochs = trainer.check_val_every_n_epoch or 0, trainer.max_epochs or -1
        if trainer.is_global_zero and (trainer.limit_val_batches == 0 or every > epochs > 0):
            say(f"without a validation nothing is published in {self._folder}: {_VALIDATE}")

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Say where nothing was published."""
        if trainer.is_global_zero and not self._is_published:
            say(f"no validation was made, so nothing was published in {self._folder}: {_VALIDATE}")

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write the checkpoint, on the first rank."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        if not isinstance(pl_module, Pretraining):
            raise TypeError(type(pl_module).__name__)
        loss = float(trainer.callback_metrics["validation_loss"])
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"model-epoch-{trainer.current_epoch}.tar"
        save_published(pl_module, path, epoch=trainer.current_epoch)
        self._is_published = True
        if loss < self._best:
            self._best = loss
            save_published(pl_module, self._folder / "model-best.tar", epoch=trainer.current_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Keep the smallest loss over a kill."""
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the smallest loss up again."""
        self._best = float(state_dict["best"])


def save_published(module: Pretraining, path: Path, *, epoch: int) -> None:
    """Write a model as the authors' checkpoints are laid out, so that every reader of them can."""
    state = published_state(module.model, module.network)
    require_finite(state, str(path))
    content = {
        "model": state,
        "config": published_config(module.network, module.text)
        | {"beyond_the_paper": module.beyond_the_paper},
        "epoch": epoch,
        "train_loss": float(module.trainer.callback_metrics.get("train_loss", torch.nan)),
    }
    with whole_file(path) as stream:
        torch.save(content, stream)


def published_state(model: MammoClip, network: NetworkSettings) -> dict[str, Tensor]:
    """Return the tensors by their published names."""
    plan = encoder_plan(network.architecture, _IMAGE_PREFIX, _IMAGE_PREFIX)
    sizes = {"image": model.image_encoder.size}
    if model.text_encoder is not None:
        sizes["text"] = model.text_encoder.size
    for modality, size in sizes.items():
        plan |= projection_plan(network.projection, modality, size, network.projection_size)
    names = {place.name: name for name, place in plan.items()}
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith(OWN_PREFIX):
            published = f"{TEXT_PREFIX}text_encoder.{name.removeprefix(OWN_PREFIX)}"
        else:
            published = names.get(name, name)
        state[published] = value.detach().cpu().contiguous().clone()
    return state


def published_config(network: NetworkSettings, text: dict[str, Any]) -> dict[str, Any]:
    """Return the nested configuration that readers of a published checkpoint look into."""
    known = {architecture: name for name, architecture in ENCODER_NAMES.items()}
    return {
        "base": {
            "image_size_h": network.rows,
            "image_size_w": network.columns,
            "mean": network.mean,
            "std": network.std,
            "text_max_length": text.get("max_tokens", 256),
        },
        "model": {
            "name": "clip_custom",
            "temperature": network.temperature,
            "image_encoder": {
                "source": "cnn",
                "name": known.get(network.architecture, network.architecture),
            },
            "text_encoder": {"source": "huggingface", "pooling": text["pooling"]},
            "projection_head": {"name": network.projection, "proj_dim": network.projection_size},
        },
        "tokenizer": {"source": "huggingface"},
        "network": asdict(network),
    }
