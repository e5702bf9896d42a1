"""Findings and manifests as tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table

from mammoclip_core.findings import (
    DENSITY_CATEGORIES,
    Finding,
    FindingSource,
    ImageFindings,
    StudyFindings,
)
from mammoclip_core.manifest import FindingEntry, Manifest, OperatingPoint

_SHOWN_NAMES: Final = 3

_HEADINGS: Final = (
    "finding",
    "code",
    "answered by",
    "encoder",
    "threshold",
    "measured at threshold",
    "calibrated",
    "over images",
)


def show(content: RenderableType) -> None:
    """Print to standard output as it is; without a terminal, as wide as the content needs."""
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    console.print(content)


def findings_table(findings: StudyFindings, warning: str = "") -> RenderableType:
    """Lay out the findings of each image, with what the bundle warns of above them."""
    names = list(dict.fromkeys(item.name for image in findings.images for item in image.findings))
    bundle = findings.bundle
    table = Table(title=_title(f"{bundle.name} {bundle.version}", warning))
    for heading in ("image", "frame", "view", *names, "density", "remark"):
        table.add_column(heading.replace("_", " "), overflow="fold")
    for image in findings.images:
        scores = {item.name: _score(item) for item in image.findings}
        table.add_row(
            image.sop_instance_uid,
            str(image.frame),
            f"{image.laterality or '?'} {image.view_position or '?'}",
            *(scores.get(name, "") for name in names),
            _density(image),
            image.reason if image.findings else f"{image.status}: {image.reason}",
        )
    density = ", ".join(
        f"{breast.laterality or '?'} {breast.density or '-'}" for breast in findings.breasts
    )
    note = f"* at or above its threshold, with the number of regions. Density: {density or '-'}."
    note = f"{note} Scores are not probabilities unless calibrated."
    return Group(table, f"{note} Computed by {findings.engine}." if findings.engine else note)


def manifest_table(manifest: Manifest) -> RenderableType:
    """Lay out the manifest of a bundle."""
    facts = Table(title=_title(f"{manifest.name} {manifest.version}", manifest.warning))
    facts.add_column("")
    facts.add_column("", overflow="fold")
    facts.show_header = False
    size = f"{manifest.preprocessing.rows} x {manifest.preprocessing.columns}"
    encoders = ", ".join(
        f"{item.name}: {item.architecture} ({item.padding})" for item in manifest.encoders
    )
    for name, value in (
        ("licence", manifest.licence),
        ("permitted use", manifest.permitted_use),
        ("licence phrase", manifest.acceptance or "not needed"),
        ("intended use", manifest.intended_use),
        ("trained on", manifest.trained_on),
        ("beyond the paper", _joined(manifest.beyond_the_paper)),
        ("weights SHA-256", manifest.weights_sha256),
        ("image encoders", encoders),
        ("text encoder", _text_encoder_of(manifest)),
        ("input", f"{size}, {manifest.preprocessing.mode}"),
        ("projection", f"{manifest.projection}, {manifest.projection_size} dimensions"),
        ("scoring", manifest.scoring),
        ("attribution", _attribution_of(manifest)),
        ("detectors", _detectors_of(manifest)),
        ("converted from", "\n".join(f"{k} {v}" for k, v in manifest.sources.items()) or "-"),
        ("tensors left out", _shortened(manifest.left_out)),
        ("warning", manifest.warning or "none"),
    ):
        facts.add_row(name, value)
    findings = Table()
    for heading in _HEADINGS:
        findings.add_column(heading, overflow="fold")
    for entry in manifest.findings:
        findings.add_row(*_entry_cells(entry, manifest))
    return Group(facts, findings)


def _joined(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "nothing"


def _attribution_of(manifest: Manifest) -> str:
    factor = ", ".join(entry.finding for entry in manifest.factor)
    return (
        f"Mammo-FActOR for {factor}, else {manifest.attribution}"
        if factor
        else manifest.attribution
    )


def _detectors_of(manifest: Manifest) -> str:
    return (
        ", ".join(
            f"{item.name}: {item.architecture}, boxes of {item.finding}"
            for item in manifest.detectors
        )
        or "none"
    )


def _text_encoder_of(manifest: Manifest) -> str:
    text = manifest.text_encoder
    if not text:
        return "none: it embeds images only"
    sizes = text["config"]
    layers, size = sizes.get("num_hidden_layers"), sizes.get("hidden_size")
    return f"{text.get('kind', 'bert')}, {layers} layers of {size}, pooling {text['pooling']}"


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return (", ".join(names[:_SHOWN_NAMES]) or "nothing") + (
        f" and {more} more" if more > 0 else ""
    )


def _entry_cells(entry: FindingEntry, manifest: Manifest) -> tuple[str, ...]:
    prompts = " / ".join(entry.prompts) + (" (own)" if entry.own_prompts else "")
    by_prompts = entry.source is FindingSource.PROMPT
    answers = prompts if by_prompts else f"{entry.source} {entry.head}"
    return (
        entry.name,
        entry.code,
        answers,
        manifest.encoder_of(entry),
        "-" if entry.is_class_set else f"{entry.threshold:.3f}",
        _measured(entry.operating_point),
        _calibration_of(entry),
        _classes_of(entry),
    )


def _measured(point: OperatingPoint | None) -> str:
    if point is None:
        return "not measured"
    return (
        f"sensitivity {point.sensitivity:.3f}, specificity {point.specificity:.3f} on {point.data}"
    )


def _calibration_of(entry: FindingEntry) -> str:
    if not entry.isotonic and entry.calibration is None:
        return "no"
    domain = entry.calibration_domain or "not stated"
    return f"{'isotonic' if entry.isotonic else 'Platt'} on: {domain}"


def _classes_of(entry: FindingEntry) -> str:
    if entry.is_density:
        return f"one of {', '.join(DENSITY_CATEGORIES)}"
    return "one of " + ", ".join(entry.labels) if entry.is_class_set else entry.aggregation


def _title(text: str, warning: str) -> str:
    return f"{text}\n{warning}" if warning else text


def _score(finding: Finding) -> str:
    above = sum(region.above_threshold for region in finding.regions)
    mark = f" * {above}" if finding.above_threshold else ""
    return f"{finding.score:.3f}{mark}"


def _density(image: ImageFindings) -> str:
    if not image.density_scores:
        return ""
    highest = max(image.density_scores)
    return f"{DENSITY_CATEGORIES[image.density_scores.index(highest)]} {highest:.3f}"
