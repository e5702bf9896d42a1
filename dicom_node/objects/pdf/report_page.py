"""The pages to print: views, findings, what the examination lacks, and which model says so."""

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Spacer,
    Table,
)
from reportlab.platypus import Image as Picture
from reportlab.platypus import Paragraph as Text

from dicom_node.facts.own_result import MODEL_NAME
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.hanging import Page
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.drawing.lettering import ATTENTION_REMARK
from dicom_node.objects.drawing.overlay import Placement, paint, shown_heatmaps
from dicom_node.objects.drawing.picture import (
    WARNING_LENGTH,
    finding_paragraphs,
    mark_regions,
)
from dicom_node.objects.drawing.sheet_picture import NOT_ANALYSED, Tile, TileOf, breast_text
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.pdf.typeface import BOLD, REGULAR, register_fonts
from dicom_node.objects.terms.wording import RESEARCH_MARK, SCORE_REMARK, to_ascii, view_of
from mammoclip_core.findings import ImageFindings, StudyFindings
from mammoclip_core.images.header.views import STANDARD_VIEWS

_MARGIN: Final = 40.0
_GAP: Final = 6.0
_WIDTH: Final = A4[0] - 2 * _MARGIN
_CELL: Final = (_WIDTH / 2, 186.0)
"""Width and height that the picture of a view fits into, in points."""

_NUMBER_SIZE: Final = 11.0
"""Size of the numbers of regions, in points."""

_JPEG_QUALITY: Final = 88

_Pictures = Mapping[tuple[str, int], tuple[bytes, tuple[int, int]]]


def compose_pages(
    pages: Sequence[Page],
    tile_of: TileOf,
    *,
    findings: StudyFindings,
    remarks: Sequence[str],
    heading: Sequence[str],
    context: ResultContext,
    style: PictureStyle,
) -> bytes:
    """Set the report as PDF: the standard views on the first page, whatever more on further ones.

    Parameters
    ----------
    pages : the images, hung
    tile_of : returns the drawn form of an image
    remarks : what the examination lacks, in whole sentences
    heading : lines that name patient and examination, above each page

    Returns
    -------
    bytes
        The same for equal arguments.
    """
    register_fonts()
    pictures = {
        (image.sop_instance_uid, image.frame): _picture_of(tile_of(image), context, style)
        for page in pages
        for row in page
        for image in row
        if image is not None
    }
    story = partial(_story, pages, pictures, findings, remarks, context)
    # The first setting counts the pages.
    _, total = _set(story(), heading, context.identity, 0)
    content, _ = _set(story(), heading, context.identity, total)
    return content


def _set(
    story: Iterator[Flowable], heading: Sequence[str], identity: ResultIdentity, total: int
) -> tuple[bytes, int]:
    """Set a story under its heading; returns the file and its number of pages."""
    stream = io.BytesIO()
    document = BaseDocTemplate(
        stream,
        pagesize=A4,
        title=to_ascii(f"AI report to print. {RESEARCH_MARK}"),
        author=MODEL_NAME,
        invariant=1,
        initialFontName=REGULAR,
    )
    head = _Block([_text(line, bold=number == 0) for number, line in enumerate(heading)])
    foot = _Block(
        [_text(line, size=7.5, bold=number == 0) for number, line in enumerate(_foot(identity))],
        width=_WIDTH - 60.0,
    )
    bottom = _MARGIN + foot.height + _GAP
    top = A4[1] - _MARGIN - head.height - _GAP

    def write_around(canvas: Canvas, _: Any) -> None:
        """Say on every page whose it is, what it is, who made it, and that nobody verified it."""
        head.draw(canvas, top + _GAP + head.height)
        foot.draw(canvas, bottom - _GAP)
        canvas.setStrokeGray(0.6)
        for height in (top + _GAP / 2, bottom - _GAP / 2):
            canvas.line(_MARGIN, height, A4[0] - _MARGIN, height)
        canvas.setFont(REGULAR, 7.5)
        canvas.drawRightString(
            A4[0] - _MARGIN,
            bottom - _GAP - 7.5,
            f"Page {canvas.getPageNumber()} of {total}",
        )

    frame = Frame(_MARGIN, bottom, _WIDTH, top - bottom, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate(frames=[frame], onPage=write_around)])
    document.build(list(story))
    return stream.getvalue(), document.page


class _Block:
    """Paragraphs below each other at the left margin, outside of the running text."""

    def __init__(self, texts: Sequence[Flowable], width: float = _WIDTH) -> None:
        self._texts = [(text, text.wrap(width, A4[1])[1]) for text in texts]
        self.height = sum(height for _, height in self._texts)

    def draw(self, canvas: Canvas, top: float) -> None:
        for text, height in self._texts:
            top -= height
            text.drawOn(canvas, _MARGIN, top)


def _foot(identity: ResultIdentity) -> tuple[str, ...]:
    bundle = identity.bundle
    return (
        f"{RESEARCH_MARK}. UNVERIFIED: no physician has seen this page.",
        to_ascii(
            f"Made by software: {MODEL_NAME} {identity.software_version} with the model "
            f"{to_ascii(bundle.name, 64)} {to_ascii(bundle.version, 64)}",
        ),
    )


def _story(
    pages: Sequence[Page],
    pictures: _Pictures,
    findings: StudyFindings,
    remarks: Sequence[str],
    context: ResultContext,
) -> Iterator[Flowable]:
    yield _text("Mammography: attention of a model", size=15, bold=True)
    yield _text(RESEARCH_MARK, size=10, bold=True)
    if context.identity.warning:
        yield _text(to_ascii(context.identity.warning, WARNING_LENGTH), size=9, bold=True)
    yield from (_text(line, size=10) for line in context.scores.lines())
    yield Spacer(1, _GAP)
    yield from _views(pages[0], pictures, context, with_places=True)
    if len(pages) > 1:
        heading = _text("Further images with a finding above its threshold", size=9, bold=True)
        for number, page in enumerate(pages[1:]):
            above = () if number else (heading,)  # never alone at the foot of a page
            yield from _views(page, pictures, context, with_places=False, above=above)
    yield Spacer(1, _GAP)
    yield from (_text(breast_text(breast), bold=True) for breast in findings.breasts)
    if remarks:
        yield _text("What this examination lacks", bold=True)
        yield from map(_text, remarks)
    yield _text("Model", bold=True)
    yield from map(_text, _model_facts(findings, context.identity))
    yield _text(f"{SCORE_REMARK} {ATTENTION_REMARK}")


def _views(
    page: Page,
    pictures: _Pictures,
    context: ResultContext,
    *,
    with_places: bool,
    above: Sequence[Flowable] = (),
) -> Iterator[Flowable]:
    """Hang images two by two, the breasts back to back, with their findings below."""
    for number, row in enumerate(page):
        images, captions = [], []
        for column, image in enumerate(row):
            to_right = column == 0 and len(row) > 1
            if image is not None:
                images.append(_flowing(pictures[image.sop_instance_uid, image.frame]))
                captions.append(list(_captions(image, context, to_right=to_right)))
                continue
            view = " ".join(STANDARD_VIEWS[2 * number + column]) if with_places else ""
            images.append(Spacer(1, 1))
            missing = _text(f"{view}: {NOT_ANALYSED}", bold=True, to_right=to_right)
            captions.append([missing] if view else [])
        yield KeepTogether([*(() if number else above), _hung(images, captions)])


def _hung(images: Sequence[Flowable], captions: Sequence[Sequence[Flowable]]) -> Flowable:
    """Put the images of a row against the middle of the page, one alone into it."""
    padding = [(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP")]
    if len(images) > 1:
        places = [
            ("ALIGN", (0, 0), (0, 0), "RIGHT"),
            ("ALIGN", (1, 0), (1, 0), "LEFT"),
            ("RIGHTPADDING", (0, 1), (0, 1), _GAP),
            ("LEFTPADDING", (1, 1), (1, 1), _GAP),
        ]
    else:
        places = [("ALIGN", (0, 0), (0, 0), "CENTER")]
    return Table(
        [list(images), list(captions)],
        colWidths=[_CELL[0]] * len(images),
        # The findings of an image may need more than a page.
        splitInRow=1,
        style=[
            # Without it the table names a font that the file does not carry.
            ("FONTNAME", (0, 0), (-1, -1), REGULAR),
            ("VALIGN", (0, 0), (-1, 0), "MIDDLE"),
            ("VALIGN", (0, 1), (-1, 1), "TOP"),
            *padding,
            *places,
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ],
    )


def _picture_of(
    tile: Tile, context: ResultContext, style: PictureStyle
) -> tuple[bytes, tuple[int, int]]:
    """Return the picture of a view as JPEG, and its rows and columns."""
    display = tile.display
    rows, columns = display.pixels.shape
    pixels = np.empty((rows, columns, 3), dtype=np.uint8)
    paint(pixels, display, shown_heatmaps(tile.image, tile.heatmaps), style)
    placement = Placement(
        column_offset=0,
        row_offset=0,
        column_scale=display.column_scale,
        row_scale=display.row_scale,
    )
    text = max(8, round(_NUMBER_SIZE * max(columns / _CELL[0], rows / _CELL[1])))
    mark_regions(pixels, tile.image, display, placement, colors=context.colors, text=text)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue(), (rows, columns)


def _flowing(picture: tuple[bytes, tuple[int, int]]) -> Flowable:
    content, (rows, columns) = picture
    scale = min(_CELL[0] / columns, _CELL[1] / rows)
    return Picture(io.BytesIO(content), width=scale * columns, height=scale * rows)


def _captions(
    image: ImageFindings, context: ResultContext, *, to_right: bool
) -> Iterator[Flowable]:
    yield _text(view_of(image), bold=True, to_right=to_right)
    for paragraph in finding_paragraphs(image, context):
        yield _text(paragraph.text, to_right=to_right)


def _model_facts(findings: StudyFindings, identity: ResultIdentity) -> tuple[str, ...]:
    bundle = identity.bundle
    return (
        f"Name {bundle.name}, version {bundle.version}, licence {bundle.licence}, "
        f"permitted use: {bundle.permitted_use}.",
        f"Weights SHA-256 {bundle.sha256}",
        f"Settings SHA-256 {findings.settings_sha256}",
        *((f"Computed by {findings.engine}",) if findings.engine is not None else ()),
    )


def _text(text: str, *, size: float = 8.0, bold: bool = False, to_right: bool = False) -> Flowable:
    # The bold font prints ASCII alone; only headings hold more, and they are the page's own.
    is_ascii = text.isascii()
    style = ParagraphStyle(
        "plain",
        fontName=BOLD if bold and is_ascii else REGULAR,
        fontSize=size,
        leading=1.25 * size,
        splitLongWords=1,
        alignment=TA_RIGHT if to_right else TA_LEFT,
    )
    return Text(escape(text), style)
