"""The four views of an examination on one page, hung as mammograms are, with what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.lettering import (
    ATTENTION_REMARK,
    BACKGROUND,
    DIM,
    RULE,
    TEXT,
    WARNING,
    Lettering,
    Line,
    model_line,
)
from dicom_node.objects.drawing.overlay import (
    PictureStyle,
    Placement,
    blend_heatmaps,
    draw_outlines,
)
from dicom_node.objects.drawing.picture import finding_lines, shown_heatmaps, with_numbers
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.wording import score_text, side_of, view_of, words_of
from mammoclip_core.findings import BreastFindings, Heatmap, ImageFindings, StudyFindings
from mammoclip_core.images.views import STANDARD_VIEWS

TITLE: Final = "Summary"

_NOT_ANALYSED: Final = "no image analysed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """One analysed image as it stands on the sheet."""

    image: ImageFindings
    display: DisplayPicture
    heatmaps: Sequence[Heatmap]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """A finished sheet.

    Attributes
    ----------
    pixels : (rows, columns, 3) uint8
        RGB.
    placements : by SOP Instance UID
    """

    pixels: NDArray[np.uint8]
    placements: Mapping[str, Placement]


def compose_sheet(
    tiles: Sequence[Tile],
    findings: StudyFindings,
    remarks: Sequence[str],
    context: ResultContext,
    *,
    cell: tuple[int, int],
    style: PictureStyle,
) -> Sheet:
    """Draw the standard views, two by two, the right breast on the left.

    Parameters
    ----------
    tiles : at most one for each standard view
    remarks : what the examination lacks, in whole sentences
    cell : (rows, columns) that the image of each tile fits into
    """
    by_view = {(tile.image.laterality, tile.image.view_position): tile for tile in tiles}
    lettering = Lettering(2 * cell[1])
    parts = [np.asarray(lettering.head(TITLE, context.identity, context.scores.lines()))]
    placements: dict[str, Placement] = {}
    for pair in (STANDARD_VIEWS[:2], STANDARD_VIEWS[2:]):
        top = sum(len(part) for part in parts)
        band = np.full((cell[0], lettering.columns, 3), BACKGROUND, dtype=np.uint8)
        for number, view in enumerate(pair):
            tile = by_view.get(view)
            if tile is not None:
                placement = _paste(band, tile, number, top, style)
                placements[tile.image.sop_instance_uid] = placement
        parts.append(band)
        parts.append(np.asarray(_captions(lettering, pair, by_view, context)))
    parts.append(np.asarray(_foot(lettering, findings, remarks, context)))
    pixels = np.concatenate(parts)
    for tile in tiles:
        placement = placements[tile.image.sop_instance_uid]
        thickness = max(2, lettering.text // 8)
        draw_outlines(pixels, tile.image, placement, context.colors, thickness)
        pixels = with_numbers(
            pixels, tile.image, tile.display, placement, context.colors, lettering=lettering
        ).copy()
    return Sheet(pixels=pixels, placements=placements)


def _paste(
    band: NDArray[np.uint8], tile: Tile, number: int, top: int, style: PictureStyle
) -> Placement:
    """Put an image into its half of a band, against the middle of the sheet."""
    rows, columns = tile.display.pixels.shape
    middle = band.shape[1] // 2
    left = middle - columns if number == 0 else middle
    offset = (band.shape[0] - rows) // 2
    shown = shown_heatmaps(tile.image, tile.heatmaps)
    band[offset : offset + rows, left : left + columns] = blend_heatmaps(tile.display, shown, style)
    return Placement(
        column_offset=left,
        row_offset=top + offset,
        column_scale=tile.display.column_scale,
        row_scale=tile.display.row_scale,
    )


def _captions(
    lettering: Lettering,
    pair: Sequence[tuple[str, str]],
    by_view: Mapping[tuple[str, str], Tile],
    context: ResultContext,
) -> Image.Image:
    """Write under each image which view it is and what was found on it."""
    texts: list[list[Line]] = []
    for view in pair:
        tile = by_view.get(view)
        if tile is None:
            texts.append([(" ".join(view), TEXT), (_NOT_ANALYSED, WARNING)])
        else:
            lines = finding_lines(tile.image, context.colors)
            texts.append([(view_of(tile.image), TEXT), *lines])
    strip = lettering.strip(max(map(len, texts)) * lettering.leading)
    draw = ImageDraw.Draw(strip)
    for number, lines in enumerate(texts):
        left = number * (lettering.columns // 2) + lettering.margin
        lettering.write(draw, lines, left, lettering.margin, lettering.text)
    return strip


def _foot(
    lettering: Lettering,
    findings: StudyFindings,
    remarks: Sequence[str],
    context: ResultContext,
) -> Image.Image:
    """Write the result of each breast, what the examination lacks, and who says so."""
    width = lettering.columns - 2 * lettering.margin
    results = [_breast_line(breast) for breast in findings.breasts]
    paragraphs = (
        *((text, TEXT) for text in results),
        *((text, WARNING) for text in remarks),
        (ATTENTION_REMARK, DIM),
        (model_line(context.identity), DIM),
    )
    lines: list[Line] = [
        (line, color) for text, color in paragraphs for line in lettering.wrapped(text, width)
    ]
    strip = lettering.strip(len(lines) * lettering.leading)
    draw = ImageDraw.Draw(strip)
    draw.line([(0, 0), (lettering.columns, 0)], RULE, max(1, lettering.text // 12))
    lettering.write(draw, lines, lettering.margin, lettering.margin, lettering.text)
    return strip


def _breast_line(breast: BreastFindings) -> str:
    scores = ", ".join(
        f"{words_of(finding.name)} {score_text(finding)}"
        f"{' (above threshold)' if finding.above_threshold else ''}"
        for finding in breast.findings
    )
    density = f"; density BI-RADS {breast.density}" if breast.density else ""
    return f"{side_of(breast.laterality).capitalize()}: {scores or 'no scores'}{density}."
