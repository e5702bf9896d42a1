"""The picture that any viewer can show: image, attention and outlines, with words beside them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.canvas import canvas_of, fill
from dicom_node.objects.drawing.captions import captions_of
from dicom_node.objects.drawing.heat_colors import HeatColors, PictureStyle
from dicom_node.objects.drawing.layout import QUARTER, WHOLE, Layout, layout_of
from dicom_node.objects.drawing.lettering import (
    ATTENTION_REMARK,
    BACKGROUND,
    DIM,
    MARK,
    SMALL,
    TEXT,
    WARNING,
    Paragraph,
    model_line,
)
from dicom_node.objects.drawing.overlay import (
    Placement,
    draw_outlines,
    paint,
    shown_heatmaps,
)
from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.drawing.panel import MARGIN, Panel
from dicom_node.objects.drawing.region_numbers import write_numbers
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.findings.lesions import place_text
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.terms.scores import score_text
from dicom_node.objects.terms.wording import (
    RESEARCH_MARK,
    methods_text,
    to_ascii,
    view_of,
    words_of,
)
from mammoclip_core.findings import Finding, Heatmap, ImageFindings

_TITLE: Final = 1.6
WARNING_LENGTH: Final = 300
"""Letters of a bundle's warning: with more of them the image would be the least of a picture."""

_NO_FINDING: Final = "no finding above threshold"
_NOT_LOOKED_FOR: Final = "no finding was looked for"
"""Of a model that answers something else, such as density alone."""

_LINE_WIDTH: Final = 11
"""Text size in units of the width of an outline."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A finished picture.

    Attributes
    ----------
    pixels : (rows, columns, 3) uint8 in RGB
    placement : of the image that attention and outlines are drawn on
    """

    pixels: NDArray[np.uint8]
    placement: Placement


def compose(
    display: DisplayPicture,
    image: ImageFindings,
    heatmaps: Sequence[Heatmap],
    context: ResultContext,
    style: PictureStyle = PictureStyle.COLOR,
) -> Picture:
    """Draw one image with what was found on it. No text lies over tissue but region numbers.

    The words stand on the right, where viewers write least, or above and below an image that is
    wider than high; in the size that is legible on a quarter of a screen, or for two images beside
    each other on a whole one.

    Parameters
    ----------
    heatmaps : of this image
        Shown are those of findings above their threshold.
    """
    shown = shown_heatmaps(image, heatmaps)
    rows, columns = display.pixels.shape
    copies = 2 if style is PictureStyle.SIDE_BY_SIDE else 1
    gap = columns // 60 if copies == 2 else 0
    image_columns = copies * columns + gap
    title, *others = _head(image, context)
    head = Panel(paragraphs=(title, *others), foot=MARGIN)
    colored = bool(shown) and style is not PictureStyle.GREY
    body = Panel(
        paragraphs=tuple(_body(image, context)), legend=HeatColors(style) if colored else None
    )
    # Beside a narrow image the middle of the screen lies in the panel, and OHIF's player on it.
    aside = replace(title, at_right=True)
    whole = Panel(paragraphs=(aside, *others, *body.paragraphs), legend=body.legend)
    viewport = WHOLE if copies == 2 else QUARTER
    layout = layout_of((rows, image_columns), whole, viewport, (head, body))
    pixels, left, top = (
        _beside(whole, layout, (rows, image_columns), slice(columns, image_columns - columns))
        if layout.panel_columns
        else _above_and_below(head, body, layout, (rows, image_columns))
    )
    if copies == 2:
        paint(pixels[top : top + rows, left : left + columns], display, (), style)
        left += columns + gap
    paint(pixels[top : top + rows, left : left + columns], display, shown, style)
    placement = Placement(
        column_offset=left,
        row_offset=top,
        column_scale=display.column_scale,
        row_scale=display.row_scale,
    )
    mark_regions(pixels, image, display, placement, colors=context.colors, text=layout.text)
    return Picture(pixels=pixels, placement=placement)


def mark_regions(
    canvas: NDArray[np.uint8],
    image: ImageFindings,
    display: DisplayPicture,
    placement: Placement,
    *,
    colors: Mapping[str, RGB],
    text: int,
) -> None:
    """Draw outlines and numbers of the regions of an image that is painted already.

    Parameters
    ----------
    canvas : (rows, columns, 3), changed in place
    text : pixels
        Text size.
    """
    left, top = placement.column_offset, placement.row_offset
    rows, columns = display.pixels.shape
    area = (left, top, left + columns, top + rows)
    draw_outlines(canvas, image, placement, colors, max(2, text // _LINE_WIDTH))
    write_numbers(canvas, image, area, placement, colors=colors, text=text)


def finding_paragraphs(image: ImageFindings, context: ResultContext) -> Iterator[Paragraph]:
    """List what is above its threshold with numbers and places, or tell the highest score."""
    if not any(finding.above_threshold for finding in image.findings):
        yield Paragraph(text=_NO_FINDING if image.findings else _NOT_LOOKED_FOR)
        yield from _highest(image.findings)
    for finding, text in captions_of(image):
        yield Paragraph(text=text, color=context.colors[finding.name])
    places = place_text(image, context.lesions)
    if places:
        yield Paragraph(text=places, size=SMALL)


def banner(identity: ResultIdentity) -> Iterator[Paragraph]:
    """Say that this is for research, and what the bundle warns of."""
    yield Paragraph(text=RESEARCH_MARK, color=MARK, gap=0.6)
    if identity.warning:
        yield Paragraph(text=to_ascii(identity.warning, WARNING_LENGTH), color=WARNING)


def _head(image: ImageFindings, context: ResultContext) -> Iterator[Paragraph]:
    yield Paragraph(text=view_of(image), color=TEXT, size=_TITLE)
    # OHIF may lay its player over what stands second, too, so that is what matters least.
    yield Paragraph(text=model_line(context.identity), color=DIM, size=SMALL, gap=0.1)
    yield from banner(context.identity)
    for number, line in enumerate(context.scores.banner(image.laterality)):
        yield Paragraph(text=line, gap=0.0 if number else 0.6)


def _body(image: ImageFindings, context: ResultContext) -> Iterator[Paragraph]:
    for number, paragraph in enumerate(finding_paragraphs(image, context)):
        yield paragraph if number else _set_apart(paragraph)
    if any(finding.regions for finding in image.findings):
        text = f"{ATTENTION_REMARK} {methods_text(image.findings)}."
        yield Paragraph(text=text, color=DIM, size=SMALL, gap=0.6)


def _set_apart(paragraph: Paragraph) -> Paragraph:
    return Paragraph(text=paragraph.text, color=paragraph.color, size=paragraph.size, gap=0.6)


def _highest(findings: Sequence[Finding]) -> Iterator[Paragraph]:
    if findings:
        highest = max(findings, key=lambda finding: finding.score)
        text = f"highest: {words_of(highest.name)} {score_text(highest)}"
        yield Paragraph(text=text, color=DIM)


def _beside(
    whole: Panel, layout: Layout, size: tuple[int, int], gap: slice
) -> tuple[NDArray[np.uint8], int, int]:
    """Return a canvas with the panel on its right, and where the image begins.

    Parameters
    ----------
    gap : columns between two images
        What the images cover is left to be painted.
    """
    rows, columns = size
    panel = np.asarray(whole.drawn(layout.text, layout.panel_columns, rows))
    canvas = canvas_of(panel.shape[0], columns + panel.shape[1])
    canvas[:, columns:] = panel
    fill(canvas[rows:, :columns], BACKGROUND)
    fill(canvas[:rows, gap], BACKGROUND)
    return canvas, 0, 0


def _above_and_below(
    head: Panel, body: Panel, layout: Layout, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], int, int]:
    """Return a canvas with strips above and below, and where the image begins."""
    rows, columns = size
    width = max(columns, layout.strip_columns)
    above = np.asarray(head.drawn(layout.text, width, 0))
    below = np.asarray(body.drawn(layout.text, width, 0))
    canvas = canvas_of(len(above) + rows + len(below), width)
    canvas[: len(above)] = above
    fill(canvas[len(above) : len(above) + rows], BACKGROUND)
    canvas[len(above) + rows :] = below
    return canvas, (width - columns) // 2, len(above)
