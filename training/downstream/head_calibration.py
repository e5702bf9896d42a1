"""``mammoclip-train calibrate --head``: what a head of any label says, into probabilities."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from mammoclip_core.bundles.tensors import head_prefix
from mammoclip_core.errors import PixelError
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.findings import FindingSource
from mammoclip_core.images.image_file import prepared_files
from mammoclip_core.manifest import FindingEntry, Manifest, read_manifest, require_empty
from mammoclip_core.networks.heads import FineTunedClassifier
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.published.checkpoint import read_checkpoint
from mammoclip_core.published.convert import read_classifier
from training.data.image_files import said_of
from training.data.table_mapping import TEST, UNKNOWN
from training.data.table_writing import write_table
from training.downstream.bundle_calibration import ALL, CalibrationOrder
from training.downstream.calibration import (
    OperatingTarget,
    calibrate_finding,
    calibrated_scores,
    require_both,
    temperature,
    tempered,
)
from training.downstream.fitting import shares_of
from training.downstream.held_out_record import require_held_out
from training.downstream.labelled_images import DENSITIES
from training.downstream.tasks import built_in_task
from training.errors import SettingsError, TableError
from training.measures.operating_points import Threshold
from training.terminal import NOTHING_SAID, Say
from training.whole_file import require_writable, write_whole

if TYPE_CHECKING:
    import pandas as pd

CALIBRATION_NAME: Final = "calibration.json"
ANSWERS_NAME: Final = "answers.csv"

_AHEAD: Final = 4
_THREADS: Final = 2


def calibrate_head(
    order: CalibrationOrder, head: Path, say: Say = NOTHING_SAID
) -> dict[str, Threshold]:
    """Write the calibration of a head, and what it says of the part and of the test part.

    A yes or no is calibrated as a bundle's finding is, and cut at the target; several classes by
    a temperature.

    Parameters
    ----------
    head : file that `save_head` has written, trained on the order's bundle

    Returns
    -------
    dict of Threshold
        By the label; empty of several classes.

    Raises
    ------
    CoreError
        The head, the table, an image or the settings are of no use; the message says why.
    """
    require_empty(order.out)
    require_writable(order.out)
    if order.findings is None or len(order.findings) != 1:
        raise SettingsError(f"{head} answers one label: name it with one --finding")
    (name,) = order.findings
    task = built_in_task(name, order.mapping.labels if order.mapping else ())
    label = name if task is None else task.label
    manifest = read_manifest(order.bundle)
    network = _read_head(head, label, manifest)
    data = order.labelled(say)
    data.require(label)
    classes = data.labels.get(label) or (tuple(DENSITIES) if label == "density" else ())
    if network.linear.out_features != max(len(classes), 1):
        raise SettingsError(
            f"{head} has {network.linear.out_features} outputs, and {label} of {order.table} "
            f"{len(classes) or 'one for its yes or no'}: name the label that it was trained on"
        )
    part = order.part_of(data)
    part = part[part[label] != UNKNOWN]
    target = None if classes else order.target or OperatingTarget()  # refuses to be without one
    record = read_checkpoint(head).get("patients")
    require_held_out(record or {}, data, label, order.part, str(head))
    if classes:
        _require_classes(order, label, classes, part)
    else:
        require_both(label, part[label])
    shown = data.images
    if order.part != ALL:
        shown = shown[shown["part"].isin({order.part, TEST})]
    files = [data.files[place] for place in shown["image"]]
    shares = _answers(network, files, manifest, order.device)
    is_used = shown["image"].isin(part["image"]).to_numpy()
    answers = {name: shown[name] for name in ("patient", "part", label)}
    content: dict[str, Any] = {"label": label, "head": file_sha256(head), "domain": order.domain}
    thresholds = {}
    if target is None:
        content["temperature"] = temperature(part[label], shares[is_used])
        content["data"] = order.words_of(part)
        probabilities = tempered(shares, content["temperature"])
        answers |= {f"probability of {one}": probabilities[:, n] for n, one in enumerate(classes)}
    else:
        entry, point = calibrate_finding(
            FindingEntry(name=label, code="", source=FindingSource.HEAD),
            part[label],
            shares[is_used, 0],
            target,
            data=order.words_of(part),
            patients=part["patient"].to_numpy(dtype=np.str_),
            domain=order.domain,
            method=order.method,
        )
        answers["score"] = shares[:, 0]
        answers["probability"] = calibrated_scores(shares[:, 0], entry)
        answers["above_threshold"] = (answers["probability"] >= entry.threshold).astype(int)
        said = asdict(entry)
        content |= {key: said[key] for key in ("calibration", "isotonic", "threshold")}
        content["operating point"] = said["operating_point"]
        thresholds[label] = point
    _write(order.out, [str(file) for file in files], answers, content)
    return thresholds


def _require_classes(
    order: CalibrationOrder, label: str, classes: Sequence[str], part: "pd.DataFrame"
) -> None:
    """Refuse before any image is encoded what several classes cannot have, or lack."""
    if order.target is not None:
        raise SettingsError(
            f"{label} has {len(classes)} classes, and no threshold: leave --sensitivity and "
            "--specificity out"
        )
    if part[label].nunique() < 2:
        raise SettingsError(
            f"{label}: the {len(part)} images are not of two classes; calibration needs them"
        )


def _read_head(path: Path, label: str, manifest: Manifest) -> FineTunedClassifier:
    finding = FindingEntry(name=label, code="", source=FindingSource.HEAD)
    classifier = read_classifier(label, path, finding)
    entry = classifier.encoder
    if entry.architecture != manifest.encoders[0].architecture:
        raise SettingsError(
            f"{path} has the encoder {entry.architecture}, and {manifest.name} "
            f"{manifest.encoders[0].architecture}: give the bundle that it was trained on"
        )
    encoder = ImageEncoder(entry.architecture, entry.padding)
    network = FineTunedClassifier(encoder, classifier.head.outputs)
    own = head_prefix(label)
    network.load_state_dict({key.removeprefix(own): one for key, one in classifier.state.items()})
    return network.eval()


def _answers(
    network: FineTunedClassifier, files: Sequence[Path], manifest: Manifest, device: str
) -> NDArray[np.float64]:
    """Return what a head says of each file, (N, outputs) [0, 1], before calibration."""
    network.to(device)
    outcomes = prepared_files(files, manifest.preprocessing, threads=_THREADS, ahead=_AHEAD)
    logits = []
    for file, outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, PixelError):
            raise TableError(said_of(file, outcome)) from outcome
        image = torch.from_numpy(outcome.values)[None, None].expand(1, 3, -1, -1)
        with torch.inference_mode():
            logits.append(network(image.to(device)).float().cpu())
    return shares_of(torch.cat(logits))


def _write(
    out: Path, files: Sequence[str], answers: Mapping[str, Any], content: Mapping[str, Any]
) -> None:
    import pandas as pd

    out.mkdir(parents=True, exist_ok=True)
    columns = {name: np.asarray(values) for name, values in answers.items()}
    write_table(out / ANSWERS_NAME, pd.DataFrame({"file": files, **columns}))
    write_whole(out / CALIBRATION_NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
