"""``mammoclip-train factor``: from a bundle and a table of findings to heatmaps of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammoclip_core.engines.embeddings import load_text_model
from mammoclip_core.engines.torch_computing import TorchComputer
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import Manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.mammo_factor import DEFAULT_TOP_CHANNELS, FactorWeights, factor_weights
from training.bundles.bundle_copy import require_room
from training.bundles.bundle_encoder import read_image_encoder
from training.bundles.bundle_facts import bundle_facts
from training.data.boxed_images import (
    BOXED_FINDINGS,
    BoxedImage,
    PreparedFiles,
    attribute_of,
    facts_of,
    read_boxed_images,
    with_usable_pictures,
)
from training.data.breast_records import read_image_text_table
from training.data.data_facts import contents_sha256
from training.data.held_out_patients import held_out
from training.errors import SettingsError
from training.factor.attributes import (
    attribute_embedding,
    report_sentences,
    synthesized_sentences,
)
from training.factor.export import bundle_with_factor, write_factor
from training.factor.feature_maps import cache_feature_maps
from training.factor.fitting import FactorSettings, FittedFactor, fit_factor
from training.factor.localisation import LocalisedImage, TrueBoxes, localisation_figures, localise
from training.learning.ranks import ALONE, Ranks
from training.learning.run_state import RunState
from training.measures.figures import EvaluationReport, Figure
from training.reports.report_synthesis import Attribute
from training.terminal import NOTHING_SAID, Say
from training.whole_file import require_writable

FACTOR_NAME: Final = "factor.safetensors"
RUN_NAME: Final = "unfinished.ckpt"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorOrder:
    """What is to be trained on what.

    Attributes
    ----------
    table : VinDr-Mammo's finding table, or one of its format
        Its boxes are used to measure, never to train.
    images : folders
    out : folder of the weights, the cached maps and the figures
    findings : of the bundle
    reports : image-text table whose sentences say what a finding is; None for written sentences
    truth : table of lesions' sizes, or None
    with_flips : bool
        Mirrored images too; four times the disk.
    top_channels : channels whose maps make a heatmap
    into : folder of a bundle with the weights in it, or None
    ranks : processes that encode the images together, each on its own `device`
        All train the same, and the first one writes.
    data : name of the data in the table of figures
    keeps_run : bool
        Keep what the finished training led to, so that the same order is answered at once.
    skip_unreadable : bool
        Leave out missing and damaged images; they are refused otherwise.
    """

    bundle: Path
    table: Path
    images: tuple[Path, ...]
    out: Path
    findings: tuple[str, ...] = BOXED_FINDINGS
    reports: Path | None = None
    truth: Path | None = None
    with_flips: bool = False
    top_channels: int = DEFAULT_TOP_CHANNELS
    into: Path | None = None
    settings: FactorSettings = field(default_factory=FactorSettings)
    device: str = "cpu"
    ranks: Ranks = ALONE
    data: str = "VinDr"
    keeps_run: bool = False
    skip_unreadable: bool = False


def train_factor(order: FactorOrder, say: Say = lambda _: None) -> list[Figure]:
    """Train, write the weights, and measure them on the test part.

    Parameters
    ----------
    say : called with the progress in words

    Raises
    ------
    CoreError
        The bundle, the table, an image or the settings are of no use; the message says why.
    """
    say = say if order.ranks.is_first else NOTHING_SAID
    TorchComputer(order.device, None)  # refuses a device that is not there
    if order.into is not None:
        require_room(order.into, order.out)
    require_writable(order.out)
    encoder, manifest = read_image_encoder(order.bundle)
    images = with_usable_pictures(
        read_boxed_images(
            order.table, order.images, order.truth, may_be_missing=order.skip_unreadable
        ),
        skip=order.skip_unreadable,
        say=say,
    )
    attributes = {name: attribute_of(name) for name in order.findings}
    unknown = set(order.findings) - {entry.name for entry in manifest.findings}
    if unknown or not attributes:
        named = ", ".join(sorted(unknown)) or "none is named"
        raise SettingsError(f"findings that {order.bundle} does not have: {named}")
    fitted = _fitted(order, encoder, manifest, images, attributes=attributes, say=say)
    if order.ranks.is_first:
        write_factor(fitted.tensors(), order.out / FACTOR_NAME)
    say("measuring on the test part")
    test = [image for image in images if image.split == "test"]
    tensors = {name: value.numpy() for name, value in fitted.tensors().items()}
    weights = {name: factor_weights(tensors, name) for name in attributes}
    figures = factor_figures(
        encoder,
        manifest,
        test,
        weights,
        top_channels=order.top_channels,
        device=order.device,
        data=order.data,
        ranks=order.ranks,
    )
    report = EvaluationReport(
        made_with={
            **bundle_facts(manifest),
            "images": f"{order.data}: {len(test)} of the test part",
            "channels of a heatmap": str(order.top_channels),
            "epoch": f"{fitted.best_epoch + 1} of {len(fitted.losses)}",
            "settings": str(order.settings),
        },
        figures=figures,
    )
    if order.ranks.is_first:
        report.write(order.out)
        if order.into is not None:
            factor = order.out / FACTOR_NAME
            bundle_with_factor(order.bundle, factor, order.into, top_channels=order.top_channels)
        if not order.keeps_run:
            (order.out / RUN_NAME).unlink(missing_ok=True)
    return figures


def factor_figures(
    encoder: ImageEncoder,
    manifest: Manifest,
    images: Sequence[BoxedImage],
    weights: dict[str, FactorWeights],
    *,
    top_channels: int,
    device: str = "cpu",
    data: str = "VinDr",
    ranks: Ranks = ALONE,
) -> list[Figure]:
    """Measure Mammo-FActOR on images with boxes, each image read and encoded once.

    Parameters
    ----------
    ranks : processes that share the images; each returns all figures
    """
    found: dict[str, list[LocalisedImage]] = {name: [] for name in weights}
    size = (manifest.preprocessing.rows, manifest.preprocessing.columns)
    own_images = ranks.share(images)
    for image, feature_map, truths in _encoded(
        encoder, manifest, own_images, tuple(weights), device
    ):
        for name, own in weights.items():
            truth = TrueBoxes(
                patient_id=image.patient_id,
                boxes=truths[name],
                sizes_mm=image.sizes_of(attribute_of(name)),
            )
            found[name].append(
                localise(
                    feature_map,
                    own,
                    truth,
                    encoder=encoder.layout,
                    size=size,
                    top_channels=top_channels,
                )
            )
    return [
        figure
        for name, own in found.items()
        for figure in localisation_figures(
            ranks.gathered(own), attribute_of(name).value.lower(), data=data
        )
    ]


def _fitted(
    order: FactorOrder,
    encoder: ImageEncoder,
    manifest: Manifest,
    images: Sequence[BoxedImage],
    *,
    attributes: dict[str, Attribute],
    say: Say,
) -> FittedFactor:
    wanted = set(attributes.values())
    used = [
        image
        for image in images
        if image.split == "training" and (order.settings.with_clean or image.shown & wanted)
    ]
    labels = np.array(
        [[int(item in image.shown) for item in attributes.values()] for image in used], np.int64
    ).reshape(-1, len(attributes))
    kinds = labels @ (2 ** np.arange(labels.shape[1]))  # each combination is to be on both sides
    is_validation = held_out([image.patient_id for image in used], kinds.tolist())
    say(f"feature maps of {len(used)} images")
    maps = cache_feature_maps(
        order.out / "maps",
        encoder,
        [image.image_id for image in used],
        PreparedFiles(used, manifest.preprocessing),
        manifest.preprocessing,
        weights_sha256=manifest.weights_sha256,
        images_sha256=contents_sha256([image.file for image in used]),
        with_flips=order.with_flips,
        device=order.device,
        ranks=order.ranks,
    )
    say("training")
    return fit_factor(
        maps,
        labels,
        _embeddings(order, attributes),
        is_validation,
        order.settings,
        device=order.device,
        on_epoch=lambda epoch, loss, validation: say(
            f"epoch {epoch + 1}: loss {loss:.4f}, of validation {validation:.4f}"
        ),
        run=RunState(
            order.out / RUN_NAME,
            _run_facts(order, manifest, used),
            say,
            is_writer=order.ranks.is_first,
        ),
    )


def _run_facts(
    order: FactorOrder, manifest: Manifest, used: Sequence[BoxedImage]
) -> dict[str, str]:
    """Return what the training depends on: a killed run with others is not taken up."""
    return {
        "bundle": manifest.weights_sha256,
        **facts_of(used, manifest.preprocessing),
        "reports": "" if order.reports is None else file_sha256(order.reports),
        "findings": ", ".join(order.findings),
        "settings": f"{order.settings}, flips {order.with_flips}",
    }


def _embeddings(order: FactorOrder, attributes: dict[str, Attribute]) -> dict[str, Tensor]:
    model = load_text_model(order.bundle)
    reports = (
        None
        if order.reports is None
        else [item.report for item in read_image_text_table(order.reports) if item.report]
    )
    return {
        name: attribute_embedding(
            model,
            synthesized_sentences(attribute)
            if reports is None
            else report_sentences(reports, attribute),
        )
        for name, attribute in attributes.items()
    }


def _encoded(
    encoder: ImageEncoder,
    manifest: Manifest,
    images: Sequence[BoxedImage],
    findings: Sequence[str],
    device: str,
) -> Iterator[tuple[BoxedImage, NDArray[np.float32], dict[str, NDArray[np.float64]]]]:
    """Yield each image's feature map, with its true boxes on the model's input by finding."""
    encoder.to(device)
    for image in images:
        prepared = image.prepared(manifest.preprocessing)
        batch = torch.from_numpy(prepared.values).to(device).expand(1, 3, -1, -1)
        with torch.inference_mode():
            feature_map = encoder.feature_map(batch)[0].float().cpu().numpy()
        boxes = {name: image.boxes_on(attribute_of(name), prepared) for name in findings}
        yield image, feature_map, boxes
