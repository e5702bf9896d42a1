"""A detector's training, with the best epoch kept by the published rule and by the honest one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mammoclip_core.images.preprocessing import PUBLISHED_MEAN, PUBLISHED_STD
from mammoclip_core.networks.anchors import MAX_BOXES, anchors_of
from mammoclip_core.networks.detector import Detector, DetectorHead, selections
from mammoclip_core.networks.image_encoder import DYNAMIC_PADDING
from training.bundles.bundle_encoder import read_image_encoder
from training.data.augmentation import Augmentation
from training.detection.examples import Example, Examples, ShownBatches, shown
from training.detection.losses import detection_loss
from training.detection.recipes import DetectionRecipe
from training.errors import SettingsError
from training.learning.drop_path import set_drop_path
from training.learning.finite import GRADIENT_NORM, finite_loss, finite_scores
from training.learning.ranks import ALONE, Ranks
from training.learning.run_state import NOTHING_KEPT, RunState
from training.measures.localisation import Detections, mean_average_precision

OVERLAP = 0.5
"""Smallest intersection over union of a hit, by which epochs are chosen."""

_PRIOR = 0.01
"""Score of every anchor before training."""

_DROP_PATH = 0.2

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BestEpoch:
    """The weights after one epoch.

    Attributes
    ----------
    epoch : counted from 0
    average_precision : that it was chosen by; NaN if nothing could be judged
    """

    epoch: int
    average_precision: float
    state: State


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedDetector:
    """What a training leaves.

    Attributes
    ----------
    detector : of the honest epoch, in evaluation mode
    honest : best on images that were held out of training
    published : best on the test images that bear the finding, as the published figures are chosen
    losses : mean over each epoch
    """

    detector: Detector
    honest: BestEpoch
    published: BestEpoch
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSettings:
    """What of the detector learns, from which images, on what.

    Attributes
    ----------
    is_frozen : bool
        The encoder's parameters stay; BatchNorm's running statistics move, as published.
    with_clean : bool
        Train on images without the finding too. The published detectors never saw one.
    augmentation : None for the paper's
    workers : processes that read and augment ahead, 0 for none
        The result does not depend on them.
    ranks : processes that train together, each on its own `device`
    """

    recipe: DetectionRecipe
    is_frozen: bool = False
    with_clean: bool = False
    augmentation: Augmentation | None = None
    device: str = "cpu"
    seed: int = 10
    workers: int = 0
    ranks: Ranks = ALONE


def detector_from(bundle: Path, seed: int = 10) -> Detector:
    """Build a detector on a bundle's image encoder; all else is fresh.

    Raises
    ------
    BundleError
        The bundle is incomplete or altered.
    """
    encoder, manifest = read_image_encoder(bundle, DYNAMIC_PADDING)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = Detector(manifest.encoders[0].architecture, 1)
        initialise(detector)
    detector.encoder.load_state_dict(encoder.state_dict())
    return detector


@torch.no_grad()
def initialise(detector: Detector) -> None:
    """Draw the pyramid's and the heads' weights; every anchor begins with a score of 1 %.

    References
    ----------
    Lin et al., Focal loss for dense object detection (ICCV 2017), section 4.1.
    """
    for part in (detector.pyramid, detector.boxes, detector.classes):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d):
                fan = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
                nn.init.normal_(layer.weight, std=math.sqrt(2 / fan))
        if isinstance(part, DetectorHead):
            nn.init.zeros_(part.output.weight)
            if part.output.bias is not None:
                nn.init.zeros_(part.output.bias)
    if detector.classes.output.bias is not None:
        nn.init.constant_(detector.classes.output.bias, -math.log((1 - _PRIOR) / _PRIOR))


def fit_detector(
    detector: Detector,
    examples: Examples,
    settings: DetectionSettings,
    on_epoch: Callable[[int, float, float, float], None] = lambda *_: None,
    run: RunState = NOTHING_KEPT,
) -> FittedDetector:
    """Train a detector, which is changed.

    Parameters
    ----------
    on_epoch : called with the epoch, its loss, and the average precision on both
    run : goes on after the last epoch that was kept

    Raises
    ------
    SettingsError
        No training image or no held-out one bears the finding.
    DivergedError
        A loss, a gradient, a weight or a judged score is not finite; the kept state is that of
        the epoch before.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 3.
    """
    recipe, ranks = settings.recipe, settings.ranks
    used = [item for item in examples.training if settings.with_clean or len(item.boxes)]
    if not any(len(item.boxes) for item in used):
        raise SettingsError("none of the training images has a box of the finding")
    if not any(len(item.boxes) for item in examples.held_out):
        raise SettingsError(
            "none of the held-out images has a box of the finding: the epoch cannot be chosen"
        )
    ranks.require_batches_of(min(recipe.batch_size, len(used)))
    bearing = [item for item in examples.test if len(item.boxes)]
    if settings.is_frozen:
        detector.encoder.requires_grad_(requires_grad=False)
    else:
        set_drop_path(detector.encoder, _DROP_PATH)
    detector.to(settings.device)
    learning = [value for value in detector.parameters() if value.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=recipe.learning_rate)
    generator = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    step = 0
    losses: list[float] = []
    best: dict[str, BestEpoch] = {}
    loop: dict[str, Any] = {}
    kept = run.take_up(detector, optimizer, generator)
    ranks.wait()  # the file is read by all before the first one writes it again
    ranks.share_statistics(detector)
    if kept:
        step, losses = kept["step"], kept["losses"]
        best = {name: BestEpoch(**facts) for name, facts in kept["best"].items()}
    for epoch in range(kept.get("epoch", -1) + 1, recipe.epochs):
        total = _train_epoch(detector, optimizer, used, settings, generator, began=(epoch, step))
        step += len(total)
        losses.append(float(np.mean(total)))
        detector.eval()
        values = {
            name: mean_average_precision(
                ranks.gathered(detected(detector, ranks.share(judged), epoch)),
                OVERLAP,
                score_cut=recipe.score_cut,
            )
            for name, judged in (("honest", examples.held_out), ("published", bearing))
        }
        on_epoch(epoch, losses[-1], values["honest"], values["published"])
        for name, value in values.items():
            if name not in best or is_better(value, best[name].average_precision):
                best[name] = BestEpoch(epoch=epoch, average_precision=value, state=_state(detector))
        loop = {
            "epoch": epoch,
            "step": step,
            "losses": losses,
            "best": {
                name: {
                    "epoch": one.epoch,
                    "average_precision": one.average_precision,
                    "state": one.state,
                }
                for name, one in best.items()
            },
        }
        run.keep(detector, optimizer, loop, generator)
    run.finish(loop or kept)
    detector.load_state_dict(best["honest"].state)
    return FittedDetector(
        detector=detector.eval(),
        honest=best["honest"],
        published=best["published"],
        losses=tuple(losses),
    )


def _train_epoch(
    detector: Detector,
    optimizer: torch.optim.Optimizer,
    used: Sequence[Example],
    settings: DetectionSettings,
    generator: np.random.Generator,
    *,
    began: tuple[int, int],
) -> list[float]:
    """Show every example once, and return the loss of each batch.

    Parameters
    ----------
    began : epoch and step, counted from 0
    """
    recipe, ranks, (epoch, step) = settings.recipe, settings.ranks, began
    device = torch.device(settings.device)
    anchors = torch.from_numpy(anchors_of(*used[0].square.shape)).to(device)
    learning = [value for group in optimizer.param_groups for value in group["params"]]
    losses: list[float] = []
    detector.train()
    batches = [
        (ranks.share(batch), ranks.share(generator.integers(2**31, size=len(batch)).tolist()))
        for batch in _batches(
            generator.permutation(len(used)), recipe.batch_size, max(2, ranks.count)
        )
    ]
    augmentation = settings.augmentation or Augmentation()
    for images, truths in ShownBatches(used, batches, augmentation).loaded(settings.workers):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits, deltas = _outputs(detector, images.to(device))
        loss = detection_loss(
            (logits.float(), deltas.float()),
            anchors,
            [boxes.to(device) for boxes in truths],
            alpha=recipe.alpha,
            gamma=recipe.gamma,
            with_clean=settings.with_clean,
        )
        loss = ranks.share_of(loss, len(truths))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
        ranks.sum_gradients(learning)
        norm = nn.utils.clip_grad_norm_(learning, recipe.gradient_norm)
        value = finite_loss(ranks.total(loss), step + len(losses), epoch)
        finite_loss(norm, step + len(losses), epoch, GRADIENT_NORM)
        optimizer.step()
        losses.append(value)
    return losses


def is_better(value: float, former: float) -> bool:
    """Tell whether an epoch takes the place of a former one; without any hit, the later is as good.

    NaN, where nothing could be judged, is no hit.
    """
    later, earlier = (0.0 if math.isnan(item) else item for item in (value, former))
    return later > earlier or later == earlier == 0.0


@torch.no_grad()
def detected(detector: Detector, examples: Sequence[Example], epoch: int = -1) -> list[Detections]:
    """Show each image to a detector as it is, and return its boxes beside the true ones.

    Parameters
    ----------
    epoch : that the detector has learnt, counted from 0; for the message

    Raises
    ------
    DivergedError
        A score or a box is not finite, which would count as no box.
    """
    device = next(detector.parameters()).device
    found = []
    for example in examples:
        images, _ = shown([example], PUBLISHED_MEAN, PUBLISHED_STD)
        outputs: tuple[Tensor, Tensor] = detector(images.to(device))
        for values in outputs:
            finite_scores(values.float().cpu().numpy(), epoch)
        (selection,) = selections(outputs, *images.shape[2:])
        found.append(
            Detections(
                boxes=selection.boxes[:MAX_BOXES].astype(np.float64),
                scores=selection.scores[:MAX_BOXES].astype(np.float64),
                truth=example.boxes.astype(np.float64),
            )
        )
    return found


def _outputs(detector: Detector, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and the deltas of all anchors; the detector itself gives scores."""
    levels = detector.pyramid(detector.encoder.taps(images))
    return detector.classes(levels), detector.boxes(levels)


def _state(detector: Detector) -> State:
    return {name: value.detach().cpu().clone() for name, value in detector.state_dict().items()}


def _batches(
    order: np.ndarray[tuple[int], np.dtype[np.intp]], size: int, least: int
) -> list[list[int]]:
    """Divide an order into batches; a last one of fewer than `least` joins the one before it."""
    starts = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] < least:  # BatchNorm learns nothing of one image
        starts.pop()
    ends = [*starts[1:], len(order)]
    return [order[start:end].tolist() for start, end in zip(starts, ends, strict=True)]
