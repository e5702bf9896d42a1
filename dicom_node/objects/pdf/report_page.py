"""The page to print: views, findings, what the examination lacks, and which model says so."""

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from dicom_node.facts.own_result import MODEL_NAME
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.captions import captions_of
from dicom_node.objects.drawing.lettering import ATTENTION_REMARK, Lettering
from dicom_node.objects.drawing.overlay import (
    PictureStyle,
    Placement,
    blend_heatmaps,
    draw_outlines,
)
from dicom_node.objects.drawing.picture import shown_heatmaps, with_numbers
from dicom_node.objects.drawing.sheet_picture import Tile
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.wording import (
    RESEARCH_MARK,
    SCORE_REMARK,
    score_text,
    side_of,
    to_ascii,
    view_of,
    words_of,
)
from mammoclip_core.findings import Finding, StudyFindings
from mammoclip_core.images.views import STANDARD_VIEWS

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import Flowable

_MARGIN: Final = 40.0
_FOOT: Final = 46.0
_CELL: Final = (250.0, 196.0)
"""Width and height that the picture of a view fits into, in points."""

_JPEG_QUALITY: Final = 88
_FONT: Final = "Helvetica"
_BOLD: Final = "Helvetica-Bold"


def compose_page(
    tiles: Sequence[Tile],
    findings: StudyFindings,
    remarks: Sequence[str],
    context: ResultContext,
    style: PictureStyle,
) -> bytes:
    """Set the page as PDF; long lists of remarks run on to a further page.

    Patient and study are not named: they stand in the object that holds the page, in any script.

    Parameters
    ----------
    tiles : at most one for each standard view
    remarks : what the examination lacks, in whole sentences

    Returns
    -------
    bytes
        The same for equal arguments.
    """
    # Loaded here, since most installations never print.
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    stream = io.BytesIO()
    width, height = A4
    document = BaseDocTemplate(
        stream,
        pagesize=A4,
        title=to_ascii(f"AI report to print. {RESEARCH_MARK}"),
        author=MODEL_NAME,
        invariant=1,
    )
    frame = Frame(
        _MARGIN,
        _FOOT + 12.0,
        width - 2 * _MARGIN,
        height - _FOOT - 44.0,
        leftPadding=0,
        rightPadding=0,
        topPadding=0,
        bottomPadding=0,
    )
    lines = _foot_lines(context.identity)

    def write_foot(canvas: Canvas, _: Any) -> None:
        _write_foot(canvas, lines, width)

    document.addPageTemplates([PageTemplate(frames=[frame], onPage=write_foot)])
    document.build(list(_story(tiles, findings, remarks, context, style)))
    return stream.getvalue()


def _foot_lines(identity: ResultIdentity) -> tuple[str, ...]:
    bundle = identity.bundle
    return (
        f"{RESEARCH_MARK}. UNVERIFIED: no physician has seen this page.",
        to_ascii(
            f"Made by software: {MODEL_NAME} {identity.software_version} with the model "
            f"{bundle.name} {bundle.version}, revision {identity.revision}",
            150,
        ),
    )


def _write_foot(canvas: "Canvas", lines: Sequence[str], width: float) -> None:
    """Say on every page what this is, who made it, and that nobody has verified it."""
    canvas.setStrokeGray(0.6)
    canvas.line(_MARGIN, _FOOT, width - _MARGIN, _FOOT)
    for number, line in enumerate(lines):
        canvas.setFont(_BOLD if number == 0 else _FONT, 8)
        canvas.drawString(_MARGIN, _FOOT - 12.0 - 11.0 * number, line)
    canvas.setFont(_FONT, 8)
    canvas.drawRightString(width - _MARGIN, _FOOT - 12.0, f"Page {canvas.getPageNumber()}")


def _story(
    tiles: Sequence[Tile],
    findings: StudyFindings,
    remarks: Sequence[str],
    context: ResultContext,
    style: PictureStyle,
) -> Iterator["Flowable"]:
    from reportlab.platypus import Spacer

    yield _paragraph("Mammography: attention of a model", size=15, bold=True)
    yield _paragraph(RESEARCH_MARK, size=10, bold=True)
    if context.identity.warning:
        yield _paragraph(context.identity.warning, size=9, bold=True)
    for line in context.scores.lines():
        yield _paragraph(line, size=10)
    yield Spacer(1, 6)
    yield _views(tiles, context, style)
    yield Spacer(1, 6)
    yield from map(_paragraph, _results(findings))
    if remarks:
        yield _paragraph("What this examination lacks", bold=True)
        yield from map(_paragraph, remarks)
    yield _paragraph("Model", bold=True)
    yield from map(_paragraph, _model_facts(findings, context.identity))
    yield _paragraph(f"{SCORE_REMARK} {ATTENTION_REMARK}")


def _views(tiles: Sequence[Tile], context: ResultContext, style: PictureStyle) -> "Flowable":
    """Hang the views two by two, the right breast on the left, with their findings below."""
    from reportlab.platypus import Table

    by_view = {(tile.image.laterality, tile.image.view_position): tile for tile in tiles}
    cells = []
    for pair in (STANDARD_VIEWS[:2], STANDARD_VIEWS[2:]):
        cells.append(
            [
                [_picture(by_view[view], context, style), *_captions(by_view[view])]
                if view in by_view
                else [_paragraph(f"{' '.join(view)}: no image analysed", bold=True)]
                for view in pair
            ]
        )
    padding = [(f"{side}PADDING", (0, 0), (-1, -1), 2) for side in ("TOP", "BOTTOM")]
    return Table(cells, style=[("VALIGN", (0, 0), (-1, -1), "TOP"), *padding])


def _picture(tile: Tile, context: ResultContext, style: PictureStyle) -> "Flowable":
    from reportlab.platypus import Image as Picture

    display = tile.display
    placement = Placement(
        column_offset=0,
        row_offset=0,
        column_scale=display.column_scale,
        row_scale=display.row_scale,
    )
    pixels = blend_heatmaps(display, shown_heatmaps(tile.image, tile.heatmaps), style)
    lettering = Lettering(pixels.shape[1])
    draw_outlines(pixels, tile.image, placement, context.colors, max(2, lettering.text // 8))
    pixels = with_numbers(
        pixels, tile.image, display, placement, context.colors, lettering=lettering
    )
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(stream, "JPEG", quality=_JPEG_QUALITY)
    stream.seek(0)
    scale = min(_CELL[0] / pixels.shape[1], _CELL[1] / pixels.shape[0])
    return Picture(stream, width=scale * pixels.shape[1], height=scale * pixels.shape[0])


def _captions(tile: Tile) -> Iterator["Flowable"]:
    said = "; ".join(text for _, text in captions_of(tile.image)) or "no finding above threshold"
    yield _paragraph(f"{view_of(tile.image)}: {said}", size=8)


def _finding_text(finding: Finding) -> str:
    return f"{words_of(finding.name)} {score_text(finding)}"


def _results(findings: StudyFindings) -> Iterator[str]:
    for breast in findings.breasts:
        scores = ", ".join(
            f"{_finding_text(finding)}{' (above threshold)' if finding.above_threshold else ''}"
            for finding in breast.findings
        )
        density = f"; density BI-RADS {breast.density}" if breast.density else ""
        yield f"{side_of(breast.laterality).capitalize()}: {scores or 'no scores'}{density}."


def _model_facts(findings: StudyFindings, identity: ResultIdentity) -> tuple[str, ...]:
    bundle = identity.bundle
    return (
        f"Name {bundle.name}, version {bundle.version}, licence {bundle.licence}, "
        f"permitted use: {bundle.permitted_use}.",
        f"Weights SHA-256 {bundle.sha256}",
        f"Settings SHA-256 {findings.settings_sha256}",
        *((f"Computed by {findings.engine}",) if findings.engine is not None else ()),
    )


def _paragraph(text: str, *, size: int = 8, bold: bool = False) -> "Flowable":
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    style = ParagraphStyle(
        "plain",
        fontName=_BOLD if bold else _FONT,
        fontSize=size,
        leading=round(1.25 * size),
        splitLongWords=1,
    )
    return Paragraph(escape(to_ascii(text)), style)
