"""``mammoclip-train calibrate``: a bundle's scores into probabilities, and its thresholds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import FindingEntry, read_manifest
from training.bundles.bundle_copy import require_room
from training.data.table_mapping import HELD_OUT, UNKNOWN, TableMapping
from training.downstream.bundle_scores import bundle_scores
from training.downstream.calibration import (
    Method,
    OperatingTarget,
    calibrate_finding,
    require_both,
)
from training.downstream.held_out_record import record_in, require_held_out
from training.downstream.labelled_images import LabelledImages, read_labelled
from training.downstream.new_bundle import with_findings
from training.errors import SettingsError
from training.measures.operating_points import Threshold
from training.terminal import Say

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

ALL: Final = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationOrder:
    """Which findings of a bundle are to answer with probabilities.

    Attributes
    ----------
    part : of the table's images
        ``held out`` is what `make_head` never trains on with the same seed. ``all`` for a table
        that was made for this.
    findings : names; None for all that the table labels
    target : of the thresholds; None where there are none, for a head of several classes
    mapping : of the table's columns and words, or None
    skip_unreadable : bool
        Leave out missing and damaged images; they are refused otherwise.
    """

    bundle: Path
    table: Path
    images: tuple[Path, ...]
    out: Path
    target: OperatingTarget | None
    method: Method = Method.PLATT
    domain: str = ""
    part: str = HELD_OUT
    findings: tuple[str, ...] | None = None
    seed: int = 10
    device: str = "cpu"
    skip_unreadable: bool = False
    mapping: TableMapping | None = None

    def labelled(self, say: Say) -> LabelledImages:
        """Read the table; raises CoreError where it, or an image, is of no use."""
        return read_labelled(
            self.table,
            self.images,
            self.seed,
            may_be_missing=self.skip_unreadable,
            mapping=self.mapping,
        ).with_usable_pictures(skip=self.skip_unreadable, say=say)

    def part_of(self, data: LabelledImages) -> "pd.DataFrame":
        """Return the images to calibrate on; raises SettingsError where there are none."""
        images = data.images
        frame = images if self.part == ALL else images[images["part"] == self.part]
        if not len(frame):
            raise SettingsError(
                f"{self.table}: there are no images of --part {self.part!r}: choose another one"
            )
        return frame

    def words_of(self, frame: "pd.DataFrame") -> str:
        """Say what is calibrated on."""
        return (
            f"{self.table.name}, part {self.part}, {len(frame)} images of "
            f"{frame['patient'].nunique()} patients"
        )


def calibrate(
    order: CalibrationOrder,
    on_images: Callable[[int], None] = lambda images: None,
    say: Say = lambda words: None,
) -> dict[str, Threshold]:
    """Write a bundle that says probabilities and cuts them at the target; return its thresholds.

    Raises
    ------
    CoreError
        The bundle, the table or an image is of no use; the message says why.
    """
    require_room(order.out)
    target = order.target or OperatingTarget()  # refuses to be without one
    manifest = read_manifest(order.bundle)
    data = order.labelled(say)
    able = {
        entry.name: entry
        for entry in manifest.findings
        if entry.name in data.images.columns
        and not entry.is_class_set
        and not data.labels.get(entry.name)
        and entry.source is not FindingSource.DETECTOR
    }
    wanted = tuple(able) if order.findings is None else order.findings
    unable = [name for name in wanted if name not in able]
    if unable or not wanted:
        named = ", ".join(unable) or "any finding"
        raise SettingsError(
            f"{named}: {order.bundle} and {order.table} do not both know it; both know "
            f"{', '.join(able) or 'none'}. What probe or finetune has learnt of any other label is "
            "calibrated with --head FILE"
        )
    frame = order.part_of(data)
    for name in wanted:
        require_both(name, frame[name][frame[name] != UNKNOWN])
        head = able[name].head
        if head is not None and able[name].source is FindingSource.HEAD:
            record = record_in(manifest.sources, head)
            require_held_out(record, data, name, order.part, f"{order.bundle}: head {head}")
    files = [data.files[place] for place in frame["image"]]
    scores = bundle_scores(order.bundle, files, device=order.device, on_images=on_images)
    entries: dict[str, FindingEntry] = {}
    thresholds: dict[str, Threshold] = {}
    for name in wanted:
        labels = frame[name].to_numpy(dtype=np.int64)
        known = labels != UNKNOWN
        entries[name], thresholds[name] = calibrate_finding(
            able[name],
            labels[known],
            scores[name][known],
            target,
            data=order.words_of(frame),
            patients=frame["patient"].to_numpy(dtype=np.str_)[known],
            domain=order.domain,
            method=order.method,
        )
    with_findings(order.bundle, entries, order.out)
    return thresholds


def thresholds_table(thresholds: Mapping[str, Threshold]) -> "Table":
    """Return what the thresholds give, as a table for a terminal."""
    from rich.table import Table

    table = Table("finding", "threshold", "sensitivity", "specificity")
    for name, point in thresholds.items():
        shares = [
            f"{share:.3f} ({low:.3f}–{high:.3f})"
            for share, (low, high) in (
                (point.sensitivity, point.sensitivity_interval),
                (point.specificity, point.specificity_interval),
            )
        ]
        table.add_row(name, f"{point.threshold:.4f}", *shares)
    return table
