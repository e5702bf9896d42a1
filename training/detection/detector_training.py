"""``mammoclip-train detect``: from a bundle and a table of boxes to a detector and its figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mammoclip_core.engines.torch_computing import TorchComputer
from mammoclip_core.manifest import Manifest, read_manifest
from mammoclip_core.networks.detector import Detector
from mammoclip_core.published.detector_conversion import require_no_detector
from training.bundles.bundle_copy import require_room
from training.bundles.bundle_facts import bundle_facts
from training.data.boxed_images import (
    BOXED_FINDINGS,
    BoxedImage,
    attribute_of,
    facts_of,
    read_boxed_images,
    with_usable_pictures,
)
from training.data.held_out_patients import held_out
from training.detection.examples import Example, Examples, read_examples
from training.detection.fitting import (
    OVERLAP,
    DetectionSettings,
    FittedDetector,
    detected,
    detector_from,
    fit_detector,
)
from training.detection.published_file import bundle_with_detector, write_detector
from training.errors import SettingsError
from training.learning.presets import Preset
from training.learning.ranks import ALONE
from training.learning.run_state import RunState
from training.measures.box_figures import average_precision_of
from training.measures.figures import EvaluationReport, Figure
from training.measures.intervals import Estimate
from training.reports.report_synthesis import Attribute
from training.terminal import NOTHING_SAID, Say
from training.whole_file import require_writable


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOrder:
    """What is to be trained on what.

    Attributes
    ----------
    table : VinDr-Mammo's finding table, or one of its format
    images : folders
    out : folder of the detector and the figures
    preset : name of the settings' recipe
    percent : 1 to 100, of the training patients
    into : folder of a bundle with the detector in it, or None
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
    finding: str
    settings: DetectionSettings
    preset: Preset = Preset.PAPER
    percent: int = 100
    into: Path | None = None
    data: str = "VinDr"
    keeps_run: bool = False
    skip_unreadable: bool = False

    @property
    def setting(self) -> str:
        """Return what the published tables call this."""
        trained = "frozen encoder" if self.settings.is_frozen else "fine-tune"
        return f"{trained} {self.percent} %"

    def figure(
        self, as_published: Estimate | None = None, honest: Estimate | None = None, remark: str = ""
    ) -> Figure:
        """Return the row of the table of figures that this is."""
        return Figure(
            task=f"{self.data} {attribute_of(self.finding).value.lower()} detection",
            setting=self.setting,
            measure="mAP at IoU 0.5",
            as_published=as_published,
            honest=honest,
            remark=remark,
        )


def train_detector(order: DetectionOrder, say: Say = lambda _: None) -> list[Figure]:
    """Train, measure the detector of the honest epoch on the test part, and write it.

    Raises
    ------
    CoreError
        The bundle, the table, an image or the settings are of no use; the message says why.
    """
    if order.finding not in BOXED_FINDINGS:
        known = ", ".join(BOXED_FINDINGS)
        raise SettingsError(f"there is no detector of {order.finding!r}: choose one of {known}")
    ranks = order.settings.ranks
    say = say if ranks.is_first else NOTHING_SAID
    TorchComputer(order.settings.device, None)  # refuses a device that is not there
    attribute = attribute_of(order.finding)
    manifest = read_manifest(order.bundle)
    if order.into is not None:
        require_room(order.into, order.out)
        require_no_detector(manifest, order.finding)
    require_writable(order.out)
    detector = detector_from(order.bundle, order.settings.seed)
    images = with_usable_pictures(
        read_boxed_images(order.table, order.images, may_be_missing=order.skip_unreadable),
        skip=order.skip_unreadable,
        say=say,
    )
    parts = _parts(images, attribute, order)
    say("reading " + ", ".join(f"{len(part)} images of {name}" for name, part in parts.items()))
    training, choice, test = (
        read_examples(part, attribute, manifest.preprocessing, workers=order.settings.workers)
        for part in parts.values()
    )
    run = RunState(
        order.out / f"{order.finding}-unfinished.ckpt",
        _run_facts(order, manifest, images),
        say,
        is_writer=ranks.is_first,
    )
    fitted = fit_detector(
        detector,
        Examples(training=training, held_out=choice, test=test),
        order.settings,
        on_epoch=lambda epoch, loss, honest, published: say(
            f"epoch {epoch + 1}: loss {loss:.4f}, average precision of those held out"
            f" {honest:.3f}, of the test part {published:.3f}"
        ),
        run=run,
    )
    if not ranks.is_first:
        return []
    say("measuring on the test part")
    figures = [_figure(order, fitted, test)]
    architecture = manifest.encoders[0].architecture
    path = order.out / f"{order.finding}.pth"
    value = fitted.honest.average_precision
    write_detector(fitted.honest.state, architecture, path, 0.0 if math.isnan(value) else value)
    EvaluationReport(
        made_with={
            **bundle_facts(manifest),
            "images": ", ".join(f"{len(part)} of {name}" for name, part in parts.items()),
            "preset": order.preset,
            "recipe": str(order.settings.recipe),
        },
        figures=figures,
    ).write(order.out)
    if order.into is not None:
        bundle_with_detector(order.bundle, order.finding, path, order.into)
    if not order.keeps_run:
        run.forget()
    return figures


def _run_facts(
    order: DetectionOrder, manifest: Manifest, images: Sequence[BoxedImage]
) -> dict[str, str]:
    """Return what the training depends on: a killed run with others is not taken up."""
    return {
        "bundle": manifest.weights_sha256,
        **facts_of(images, manifest.preprocessing),
        "finding": order.finding,
        "settings": str(replace(order.settings, device="", workers=0, ranks=ALONE)),
        "percent": str(order.percent),
    }


def _parts(
    images: Sequence[BoxedImage], attribute: Attribute, order: DetectionOrder
) -> dict[str, list[BoxedImage]]:
    """Divide the images: training, held out, test.

    Of the held-out patients, those with the finding choose the epoch: on images of theirs without
    it, too.
    """
    training = [image for image in images if image.split == "training"]
    patients = [image.patient_id for image in training]
    kept = held_out(patients, [int(attribute in image.boxes) for image in training])
    bearing = {image.patient_id for image in training if attribute in image.boxes}
    used = [image for image, is_out in zip(training, kept, strict=True) if not is_out]
    if not order.settings.with_clean:
        used = [image for image in used if attribute in image.boxes]
    return {
        "training": _of_some_patients(used, order.percent, order.settings.seed),
        "those held out": [
            image
            for image, is_out in zip(training, kept, strict=True)
            if is_out and image.patient_id in bearing
        ],
        "the test part": [image for image in images if image.split == "test"],
    }


def _of_some_patients(images: list[BoxedImage], percent: int, seed: int) -> list[BoxedImage]:
    """Draw whole patients: 10 % of them are among any 50 % of the same seed."""
    patients = np.unique([image.patient_id for image in images])
    drawn = np.random.default_rng(seed).permutation(patients)
    own = set(drawn[: math.ceil(len(patients) * percent / 100)].tolist())
    return [image for image in images if image.patient_id in own]


def _figure(order: DetectionOrder, fitted: FittedDetector, test: Sequence[Example]) -> Figure:
    detector: Detector = fitted.detector
    patients = [item.patient_id for item in test]
    cut = order.settings.recipe.score_cut
    own = detected(detector, test, fitted.honest.epoch)
    honest = average_precision_of(own, OVERLAP, patients, score_cut=cut)
    detector.load_state_dict(fitted.published.state)
    bearing = [item for item in test if len(item.boxes)]
    found = detected(detector, bearing, fitted.published.epoch)
    published = average_precision_of(
        found, OVERLAP, [item.patient_id for item in bearing], score_cut=cut
    )
    detector.load_state_dict(fitted.honest.state)
    return order.figure(
        published,
        honest,
        f"{order.preset}: {order.settings.recipe}; a fifth of the training patients is"
        " held out for both columns",
    )
