"""The picture that any viewer can show: image, heatmap and outlines between two strips of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.captions import captions_of
from dicom_node.objects.drawing.lettering import (
    ATTENTION_REMARK,
    BACKGROUND,
    DIM,
    RULE,
    TEXT,
    Lettering,
    Line,
    font,
    model_line,
)
from dicom_node.objects.drawing.overlay import (
    PictureStyle,
    Placement,
    blend_heatmaps,
    draw_outlines,
    numbered_regions,
)
from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.wording import methods_text, score_text, view_of, words_of
from mammoclip_core.findings import Finding, Heatmap, ImageFindings

LEAST_COLUMNS: Final = 760
"""Narrower images stand in a picture of this width, so that the text can be read."""

_NO_FINDING: Final = "no finding above threshold"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A finished picture.

    Attributes
    ----------
    pixels : (rows, columns, 3) uint8
        RGB.
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

    Parameters
    ----------
    heatmaps : of this image
        Shown are those of findings above their threshold.
    """
    colors, identity = context.colors, context.identity
    shown = shown_heatmaps(image, heatmaps)
    rows, columns = display.pixels.shape
    lettering = Lettering(max(columns, LEAST_COLUMNS))
    head = lettering.head(view_of(image), identity, context.scores.banner(image.laterality))
    foot = _foot(lettering, image, context, style, heated=bool(shown))

    placement = Placement(
        column_offset=(lettering.columns - columns) // 2,
        row_offset=head.height,
        column_scale=display.column_scale,
        row_scale=display.row_scale,
    )
    canvas = np.full((rows, lettering.columns, 3), BACKGROUND, dtype=np.uint8)
    left = placement.column_offset
    canvas[:, left : left + columns] = blend_heatmaps(display, shown, style)
    canvas = np.concatenate([np.asarray(head), canvas, np.asarray(foot)])
    draw_outlines(canvas, image, placement, colors, thickness=max(2, lettering.text // 8))
    return Picture(
        pixels=with_numbers(canvas, image, display, placement, colors, lettering=lettering),
        placement=placement,
    )


def shown_heatmaps(image: ImageFindings, heatmaps: Sequence[Heatmap]) -> list[Heatmap]:
    """Return the heatmaps of findings above their threshold."""
    return [
        heatmap
        for finding in image.findings
        if finding.above_threshold
        for heatmap in heatmaps
        if heatmap.finding == finding.name
    ]


def with_numbers(
    canvas: NDArray[np.uint8],
    image: ImageFindings,
    display: DisplayPicture,
    placement: Placement,
    colors: Mapping[str, RGB],
    *,
    lettering: Lettering,
) -> NDArray[np.uint8]:
    """Write the number of each region beside it, never over a neighbouring image or strip."""
    rows, columns = display.pixels.shape
    right, top = placement.column_offset + columns, placement.row_offset
    own = font(lettering.text)
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    for number, name, region in numbered_regions(image):
        points = placement.to_picture(np.asarray(region.outline))
        corner = points[np.argmax(points[:, 0] - points[:, 1])]
        draw.text(
            (
                min(corner[0] + lettering.text / 3, right - own.getlength(f"{number} ")),
                min(max(corner[1], top + lettering.text), top + rows - lettering.text / 4),
            ),
            str(number),
            colors[name],
            own,
            anchor="ls",
            stroke_width=max(1, lettering.text // 8),
            stroke_fill=BACKGROUND,
        )
    return np.asarray(picture)


def _foot(
    lettering: Lettering,
    image: ImageFindings,
    context: ResultContext,
    style: PictureStyle,
    *,
    heated: bool,
) -> Image.Image:
    """Draw the strip below: findings with scores, the colour legend, model and version."""
    lines = finding_lines(image, context.colors)
    texts = [model_line(context.identity)]
    if any(finding.regions for finding in image.findings):
        texts.insert(0, f"{ATTENTION_REMARK} {methods_text(image.findings)}.")
    remarks: list[Line] = [
        (line, DIM)
        for text in texts
        for line in lettering.wrapped(text, lettering.columns - 2 * lettering.margin)
    ]
    with_legend = heated and style is not PictureStyle.GREY
    listed = max(len(lines), 3 if with_legend else 0)
    strip = lettering.strip((listed + len(remarks)) * lettering.leading + lettering.text // 2)
    draw = ImageDraw.Draw(strip)
    draw.line([(0, 0), (lettering.columns, 0)], RULE, max(1, lettering.text // 12))
    top = lettering.margin
    lettering.write(draw, lines, lettering.margin, top, lettering.text)
    if with_legend:
        lettering.legend(strip, top, style)
    top += listed * lettering.leading + lettering.text // 2
    lettering.write(draw, remarks, lettering.margin, top, lettering.small)
    return strip


def finding_lines(image: ImageFindings, colors: Mapping[str, RGB]) -> list[Line]:
    """List what is above its threshold, with the numbers of its regions, or the highest score."""
    if not any(finding.above_threshold for finding in image.findings):
        return [(_NO_FINDING, TEXT), *_highest(image.findings)]
    return [(text, colors[finding.name]) for finding, text in captions_of(image)]


def _highest(findings: Sequence[Finding]) -> list[Line]:
    if not findings:
        return []
    highest = max(findings, key=lambda finding: finding.score)
    return [(f"highest: {words_of(highest.name)} {score_text(highest)}", DIM)]
