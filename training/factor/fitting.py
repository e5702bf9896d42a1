"""Mammo-FActOR's training on cached feature maps, with the best epoch kept."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammoclip_core.networks.mammo_factor import TEMPERATURE
from training.errors import SettingsError
from training.factor.feature_maps import FeatureMaps
from training.factor.network import FactorNetwork
from training.learning.finite import finite_loss, require_finite_gradient
from training.learning.losses import FactorForm, factor_loss
from training.learning.run_state import NOTHING_KEPT, RunState

_SAMPLE: Final = 64
"""Images from which the channels' typical activations are measured."""

Labels = NDArray[np.integer[Any]]
"""(N, findings) of 0 and 1, in the order of the attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorSettings:
    """How the networks are trained; the defaults are the paper's.

    Attributes
    ----------
    patience : epochs without a smaller validation loss before the end
    with_clean : bool
        Images without any of the findings stand against the others too. The paper leaves them
        out.
    temperature : divides the cosines
        It has no say in which channels are chosen afterwards.
    quiet_start : bool
        As `ChannelNetwork.start_quiet`; else random weights, as published.
    """

    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    batch_size: int = 8
    epochs: int = 20
    patience: int = 5
    form: FactorForm = FactorForm.PUBLISHED
    temperature: float = TEMPERATURE
    with_clean: bool = False
    quiet_start: bool = True
    seed: int = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedFactor:
    """The networks of the best epoch, and the way there.

    Attributes
    ----------
    losses, validation_losses : mean over each epoch
    best_epoch : counted from 0
    """

    network: FactorNetwork
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    best_epoch: int

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights as a bundle keeps them."""
        return self.network.tensors()


def fit_factor(
    maps: FeatureMaps,
    labels: Labels,
    attributes: Mapping[str, Tensor],
    is_validation: NDArray[np.bool_],
    settings: FactorSettings | None = None,
    *,
    device: str = "cpu",
    on_epoch: Callable[[int, float, float], None] = lambda *_: None,
    run: RunState = NOTHING_KEPT,
) -> FittedFactor:
    """Train the networks of several findings on the feature maps of images, without boxes.

    Parameters
    ----------
    maps : (N, flips, C, H, W)
        Each time an image is shown, one of its flips is drawn; validation sees the first.
    attributes : (D,) embeddings by finding
    is_validation : (N,) images that choose the epoch and are not trained on
    on_epoch : called with the epoch, its loss and its validation loss
    run : goes on after the last epoch that was kept

    Raises
    ------
    SettingsError
        Training has no image of a finding, or validation none of any.
    DivergedError
        A loss, a gradient or a weight is not finite; the kept state is that of the epoch before.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.3 and 3.
    """
    settings = settings or FactorSettings()
    places = _places(labels, attributes, is_validation, settings)
    generator = np.random.default_rng(settings.seed)
    # Neighbours are often views of one patient: side by side they would not stand for negatives.
    validation = generator.permutation(places["validation"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        cells = maps.shape[-2] * maps.shape[-1]
        network = FactorNetwork(cells, attributes, settings.temperature)
    if settings.quiet_start:
        loudness = _loudness(maps, generator.permutation(places["training"])[:_SAMPLE])
        network.start_quiet(loudness)
    network.to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )

    def loss_of(batch: Sequence[int] | NDArray[np.intp], flips: NDArray[np.intp]) -> Tensor:
        shown = np.stack([maps[place, flip] for place, flip in zip(batch, flips, strict=True)])
        values = torch.from_numpy(shown).to(device).float()
        truth = torch.from_numpy(labels[np.asarray(batch)]).to(device)
        return factor_loss(network(values), truth, settings.form)

    loop = kept = run.take_up(network, optimizer, generator)
    step: int = kept.get("step", 0)
    losses: list[float] = kept.get("losses", [])
    validation_losses: list[float] = kept.get("validation_losses", [])
    best: tuple[float, int, dict[str, Tensor]] = kept.get("best", (np.inf, 0, {}))
    for epoch in range(kept.get("epoch", -1) + 1, settings.epochs):
        if epoch - best[1] > settings.patience:  # it had ended when it was killed
            break
        network.train()
        total = []
        for batch in _batches(generator.permutation(places["training"]), settings.batch_size):
            optimizer.zero_grad()
            loss = loss_of(batch, generator.integers(maps.shape[1], size=len(batch)))
            loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
            total.append(finite_loss(loss, step, epoch))
            require_finite_gradient(network.parameters(), step, epoch)
            optimizer.step()
            step += 1
        network.eval()
        with torch.inference_mode():
            seen = [
                finite_loss(
                    loss_of(batch, np.zeros(len(batch), np.intp)),
                    step - 1,
                    epoch,
                    "the validation loss",
                )
                for batch in _batches(validation, settings.batch_size)
            ]
        losses.append(float(np.mean(total)))
        validation_losses.append(float(np.mean(seen)))
        on_epoch(epoch, losses[-1], validation_losses[-1])
        if validation_losses[-1] < best[0]:
            best = (validation_losses[-1], epoch, copy.deepcopy(network.state_dict()))
        loop = {
            "epoch": epoch,
            "step": step,
            "losses": losses,
            "validation_losses": validation_losses,
            "best": best,
        }
        run.keep(network, optimizer, loop, generator)
        if epoch - best[1] >= settings.patience:
            break
    run.finish(loop)
    network.load_state_dict(best[2])
    return FittedFactor(
        network=network.eval(),
        losses=tuple(losses),
        validation_losses=tuple(validation_losses),
        best_epoch=best[1],
    )


def _places(
    labels: Labels,
    attributes: Mapping[str, Tensor],
    is_validation: NDArray[np.bool_],
    settings: FactorSettings,
) -> dict[str, NDArray[np.intp]]:
    """Return which images train and which validate; raises SettingsError if a finding lacks any."""
    is_used = np.ones(len(labels), bool) if settings.with_clean else labels.any(axis=1)
    places = {
        "training": np.flatnonzero(is_used & ~is_validation),
        "validation": np.flatnonzero(is_used & is_validation),
    }
    for finding, count in zip(attributes, labels[places["training"]].sum(axis=0), strict=True):
        if count == 0:
            raise SettingsError(f"none of the training images shows {finding}")
    if not labels[places["validation"]].any():
        raise SettingsError("none of the validation images shows a finding")
    return places


def _loudness(maps: FeatureMaps, places: NDArray[np.intp]) -> float:
    """Return the root mean square of some maps; 1 of maps that are 0 throughout."""
    squares = [np.mean(np.square(maps[place, 0], dtype=np.float32)) for place in places]
    return float(np.sqrt(np.mean(squares))) or 1.0


def _batches(places: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    return [places[start : start + size] for start in range(0, len(places), size)]
