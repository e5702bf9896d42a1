"""A page of an examination, two by two, with its words beside it and what is missing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.canvas import canvas_of, fill
from dicom_node.objects.drawing.captions import captions_of
from dicom_node.objects.drawing.hanging import Page, Row, images_on
from dicom_node.objects.drawing.heat_colors import HeatColors, PictureStyle
from dicom_node.objects.drawing.layout import WHOLE, Layout, layout_of
from dicom_node.objects.drawing.lettering import (
    ATTENTION_REMARK,
    BACKGROUND,
    DIM,
    LEAST_TEXT,
    SMALL,
    WARNING,
    Line,
    Paragraph,
    model_line,
    set_lines,
    write_lines,
)
from dicom_node.objects.drawing.overlay import Placement, paint, shown_heatmaps
from dicom_node.objects.drawing.panel import MARGIN, Panel
from dicom_node.objects.drawing.picture import banner, finding_paragraphs, mark_regions
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.terms.scores import score_text
from dicom_node.objects.terms.wording import side_of, view_of, words_of
from mammoclip_core.findings import BreastFindings, Heatmap, ImageFindings, StudyFindings
from mammoclip_core.images.header.views import STANDARD_VIEWS

TITLE: Final = "Summary"
NOT_ANALYSED: Final = "no image analysed"

_TITLE_SIZE: Final = 1.6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """One analysed image as it stands on the sheet."""

    image: ImageFindings
    display: DisplayPicture
    heatmaps: Sequence[Heatmap]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """A finished page.

    Attributes
    ----------
    pixels : (rows, columns, 3) uint8 in RGB
    placements : of each image of the page, in its order
    """

    pixels: NDArray[np.uint8]
    placements: Sequence[Placement]


TileOf = Callable[[ImageFindings], Tile]


def compose_sheet(
    pages: Sequence[Page],
    number: int,
    tile_of: TileOf,
    *,
    findings: StudyFindings,
    remarks: Sequence[str],
    context: ResultContext,
    cell: tuple[int, int],
    style: PictureStyle,
) -> Sheet:
    """Draw one page, the right breast on the left.

    Parameters
    ----------
    pages : all of them
    number : 1 or more
        Of the page that is drawn.
    tile_of : returns the drawn form of an image of the page
    remarks : what the examination lacks, in whole sentences
    cell : (rows, columns) that each image fits into
    """
    page = pages[number - 1]
    tiles = [[tile_of(image) if image else None for image in row] for row in page]
    colored = style is not PictureStyle.GREY and any(
        tile and shown_heatmaps(tile.image, tile.heatmaps) for row in tiles for tile in row
    )
    panel = Panel(
        paragraphs=tuple(_words(pages, number, findings, remarks, context)),
        legend=HeatColors(style) if colored else None,
    )
    captions = [
        _captions(row, context, first=number == 1, row_number=row_number)
        for row_number, row in enumerate(page)
    ]
    layout = _layout(panel, captions, cell, len(page))
    text, width = layout.text, 2 * cell[1]
    drawn = [_drawn_captions(pair, text, cell[1]) for pair in captions]
    height = sum(cell[0] + len(caption) for caption in drawn)
    words = np.asarray(panel.drawn(text, layout.panel_columns, height))
    pixels = canvas_of(len(words), width + words.shape[1])
    pixels[:, width:] = words
    fill(pixels[:, :width], BACKGROUND)
    top = 0
    placements = []
    for row, caption in zip(tiles, drawn, strict=True):
        for column, tile in enumerate(row):
            if tile is not None:
                placement = _place(tile, len(row), column, top, cell)
                placements.append(placement)
                _paint(pixels, tile, placement, style)
                mark_regions(
                    pixels, tile.image, tile.display, placement, colors=context.colors, text=text
                )
        top += cell[0]
        pixels[top : top + len(caption), :width] = caption
        top += len(caption)
    return Sheet(pixels=pixels, placements=placements)


def breast_text(breast: BreastFindings) -> str:
    """Tell the scores of a breast in one sentence."""
    scores = ", ".join(
        f"{words_of(finding.name)} {score_text(finding)}"
        f"{' (above threshold)' if finding.above_threshold else ''}"
        for finding in breast.findings
    )
    density = f"; density BI-RADS {breast.density}" if breast.density else ""
    return f"{side_of(breast.laterality).capitalize()}: {scores or 'no scores'}{density}."


def further_text(image: ImageFindings, page: int) -> str:
    """Name what is positive on an image that stands on a further page."""
    found = "; ".join(text for _, text in captions_of(image))
    return f"{view_of(image)} (page {page}): {found}"


def _words(
    pages: Sequence[Page],
    number: int,
    findings: StudyFindings,
    remarks: Sequence[str],
    context: ResultContext,
) -> Iterator[Paragraph]:
    """Say what the page is, and on the first one the results and what the examination lacks."""
    title = f"{TITLE}, page {number} of {len(pages)}" if len(pages) > 1 else TITLE
    yield Paragraph(text=title, size=_TITLE_SIZE)
    yield from banner(context.identity)
    if number == 1:
        for line in context.scores.lines():
            yield Paragraph(text=line, gap=0.6)
        for breast in findings.breasts:
            yield Paragraph(text=breast_text(breast), gap=0.6)
        for later, page in enumerate(pages[1:], start=2):
            for image in images_on(page):
                yield Paragraph(text=further_text(image, later), gap=0.6)
        for remark in remarks:
            yield Paragraph(text=remark, color=WARNING, gap=0.6)
    yield Paragraph(text=ATTENTION_REMARK, color=DIM, size=SMALL, gap=0.6)
    yield Paragraph(text=model_line(context.identity), color=DIM, size=SMALL, gap=0.3)


_Pair = Sequence[Sequence[Paragraph]]


def _captions(row: Row, context: ResultContext, *, first: bool, row_number: int) -> _Pair:
    """Say of each image of a row which view it is and what was found on it."""
    pair = []
    for column, image in enumerate(row):
        if image is not None:
            found = finding_paragraphs(image, context)
            pair.append([Paragraph(text=view_of(image)), *found])
        elif first:
            view = " ".join(STANDARD_VIEWS[2 * row_number + column])
            pair.append([Paragraph(text=view), Paragraph(text=NOT_ANALYSED, color=WARNING)])
        else:
            pair.append([])
    return pair


def _layout(panel: Panel, captions: Sequence[_Pair], cell: tuple[int, int], rows: int) -> Layout:
    """Find the text size, which the height of the captions depends on, in two steps.

    Larger text makes many captions higher, and a higher page asks for larger text: where captions
    would take more of the page than its images, the text is smaller than is legible from afar.
    """
    size = (rows * cell[0], 2 * cell[1])
    layout = layout_of(size, panel, WHOLE)
    height = _captions_height(captions, layout.text, cell[1])
    layout = layout_of((size[0] + height, size[1]), panel, WHOLE)
    text = layout.text
    while text > LEAST_TEXT and _captions_height(captions, text, cell[1]) > size[0]:
        text = max(LEAST_TEXT, 9 * text // 10)
    return replace(
        layout, text=text, panel_columns=round(layout.panel_columns * text / layout.text)
    )


def _captions_height(captions: Sequence[_Pair], text: int, columns: int) -> int:
    return sum(_caption_height(pair, text, columns) for pair in captions)


def _caption_lines(pair: _Pair, text: int, columns: int) -> list[tuple[list[Line], float]]:
    return [set_lines(one, columns / text - 2 * MARGIN) for one in pair]


def _caption_height(pair: _Pair, text: int, columns: int) -> int:
    highest = max(height for _, height in _caption_lines(pair, text, columns))
    return round((highest + 2 * MARGIN) * text)


def _drawn_captions(pair: _Pair, text: int, columns: int) -> NDArray[np.uint8]:
    strip = Image.new("RGB", (2 * columns, _caption_height(pair, text, columns)), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    margin = round(MARGIN * text)
    # An image that stands alone has its words in the middle, below it.
    first = 0 if len(pair) > 1 else columns // 2
    for column, (lines, _) in enumerate(_caption_lines(pair, text, columns)):
        write_lines(draw, lines, first + column * columns + margin, margin, text)
    return np.asarray(strip)


def _place(tile: Tile, images: int, column: int, top: int, cell: tuple[int, int]) -> Placement:
    """Put an image into its half of a row, or alone, against the middle of the page."""
    rows, columns = tile.display.pixels.shape
    beyond = 0 if column else columns
    return Placement(
        column_offset=cell[1] - (columns // 2 if images == 1 else beyond),
        row_offset=top + (cell[0] - rows) // 2,
        column_scale=tile.display.column_scale,
        row_scale=tile.display.row_scale,
    )


def _paint(
    pixels: NDArray[np.uint8], tile: Tile, placement: Placement, style: PictureStyle
) -> None:
    rows, columns = tile.display.pixels.shape
    left, top = placement.column_offset, placement.row_offset
    part = pixels[top : top + rows, left : left + columns]
    paint(part, tile.display, shown_heatmaps(tile.image, tile.heatmaps), style)
