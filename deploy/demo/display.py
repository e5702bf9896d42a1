"""What the demonstration prints and draws: tables of what came back, and pictures as PNG."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import cv2
from pydicom.dataset import Dataset
from pydicom.uid import UID
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.demo.outcome import Outcome, source_of_segmentation
from mammoclip_core.findings import Finding, ImageFindings
from mammoclip_core.images.header.views import STANDARD_VIEWS

_PLAIN_WIDTH: Final = 160
_HUNG: Final = tuple(laterality + view for laterality, view in STANDARD_VIEWS)


def make_console() -> Console:
    """Return a console whose lines are long enough where nobody can widen the window."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


def warning_panel(warning: str) -> Panel:
    """Warn that the results are not for clinical use."""
    text = f"{warning}\nRESEARCH USE ONLY: not a medical device, not for diagnosis."
    return Panel(text, border_style="bold red", expand=False)


def objects_table(outcomes: list[Outcome]) -> Table:
    """List the objects that the archive handed out."""
    table = Table(title="What came back to the archive", title_justify="left")
    for heading in ("study", "object", "SOP Class", "series", "description", "image", "content"):
        table.add_column(heading, overflow="fold")
    for outcome in outcomes:
        views = _views(outcome)
        for number, dataset in enumerate(_as_hung(outcome.objects, views)):
            table.add_row(
                outcome.label if number == 0 else "",
                str(dataset.Modality if dataset.Modality != "OT" else "SC"),
                UID(dataset.SOPClassUID).name.removesuffix(" Storage"),
                str(dataset.get("SeriesNumber", "")),
                str(dataset.get("SeriesDescription", "")),
                _image_of(dataset, views),
                content_of(dataset),
            )
        table.add_section()
    return table


def findings_table(outcomes: list[Outcome], warning: str) -> Table:
    """List the scores of each image; a star marks a score above its threshold."""
    names = _finding_names(outcomes)
    table = Table(
        title="Scores of findings; * above threshold, (n) number of regions",
        title_justify="left",
        caption=Text(warning, style="bold red"),
        caption_justify="left",
    )
    for heading in ("study", "image", "status", *(name.replace("_", " ") for name in names)):
        table.add_column(heading, overflow="fold")
    table.add_column("breast density", overflow="fold")
    for outcome in outcomes:
        if outcome.findings is None:
            table.add_row(outcome.label, "", outcome.condition)
            continue
        density = ", ".join(
            f"{breast.laterality} {breast.density or '-'}" for breast in outcome.findings.breasts
        )
        images = sorted(outcome.findings.images, key=lambda image: _place(view_name(image)))
        for number, image in enumerate(images):
            scores = {finding.name: _score(finding) for finding in image.findings}
            table.add_row(
                outcome.label if number == 0 else "",
                view_name(image),
                image.status.value + (f": {image.reason}" if image.reason else ""),
                *(scores.get(name, "") for name in names),
                density if number == 0 else "",
            )
        table.add_section()
    return table


def write_pictures(outcome: Outcome, folder: Path) -> Iterator[Path]:
    """Write each Secondary Capture of a study as ``VIEW.png``; yields the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    used: set[str] = set()
    pictures = _as_hung(outcome.pictures, _views(outcome))
    for number, picture in enumerate(pictures, start=1):
        view = f"{picture.get('ImageLaterality', '')}{picture.get('ViewPosition', '')}"
        name = view if view.isalnum() and view not in used else f"image-{number}"
        used.add(name)
        _, encoded = cv2.imencode(".png", cv2.cvtColor(picture.pixel_array, cv2.COLOR_RGB2BGR))
        # A demonstration beside this one may be writing the same picture.
        partial = folder / f".{name}.{picture.SOPInstanceUID[-12:]}.partial"
        partial.write_bytes(encoded.tobytes())
        path = folder / f"{name}.png"
        partial.replace(path)
        yield path


def view_name(image: ImageFindings) -> str:
    """Return laterality and view in one word, for example ``LMLO``."""
    return f"{image.laterality}{image.view_position}" or "?"


def _as_hung(objects: Iterable[Dataset], views: dict[str, str]) -> list[Dataset]:
    """Sort objects by series, and within one as mammograms are hung."""
    return sorted(
        objects,
        key=lambda dataset: (dataset.get("SeriesNumber", 0), _place(_image_of(dataset, views))),
    )


def _place(view: str) -> tuple[int, str]:
    return (_HUNG.index(view) if view in _HUNG else len(_HUNG), view)


def _views(outcome: Outcome) -> dict[str, str]:
    if outcome.findings is None:
        return {}
    return {image.sop_instance_uid: view_name(image) for image in outcome.findings.images}


def _image_of(dataset: Dataset, views: dict[str, str]) -> str:
    if "SourceImageSequence" in dataset:
        uid = str(dataset.SourceImageSequence[0].ReferencedSOPInstanceUID)
    elif "SegmentSequence" in dataset:
        uid = source_of_segmentation(dataset)
    else:
        return "whole study"
    return views.get(uid, uid)


def content_of(dataset: Dataset) -> str:
    """Return in a few words what an object holds."""
    if "SegmentSequence" in dataset:
        # A label reads "1 AI attention region: mass".
        labels = Counter(
            str(segment.SegmentLabel).rpartition(": ")[2] for segment in dataset.SegmentSequence
        )
        return "regions: " + ", ".join(_counted(label, count) for label, count in labels.items())
    if "Rows" in dataset:
        return f"picture, {dataset.Columns} x {dataset.Rows}"
    if "ContentSequence" in dataset:
        return f"{_content_items(dataset)} content items"
    return ""


def _counted(label: str, count: int) -> str:
    plural = f"{label}es" if label.endswith("s") else f"{label}s"
    return f"{count} {label if count == 1 else plural}"


def _content_items(dataset: Dataset) -> int:
    items = dataset.get("ContentSequence") or []
    return len(items) + sum(_content_items(item) for item in items)


def _finding_names(outcomes: list[Outcome]) -> list[str]:
    names: dict[str, None] = {}
    for outcome in outcomes:
        for image in outcome.findings.images if outcome.findings else ():
            names.update({finding.name: None for finding in image.findings})
    return list(names)


def _score(finding: Finding) -> str:
    mark = "*" if finding.above_threshold else ""
    regions = f" ({len(finding.regions)})" if finding.regions else ""
    return f"{finding.score:.3f}{mark}{regions}"
