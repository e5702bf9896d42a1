"""The picture that any viewer can show: image, heatmap and outlines between two strips of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dicom_node.objects.context import ResultContext
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.overlay import (
    Placement,
    blend_heatmaps,
    color_of,
    draw_outlines,
    numbered_regions,
)
from dicom_node.objects.palette import RGB
from dicom_node.objects.recognition import MODEL_NAME
from dicom_node.objects.rendering import DisplayPicture
from dicom_node.objects.wording import (
    RESEARCH_MARK,
    score_text,
    to_ascii,
    view_of,
    words_of,
)
from mammoclip_core.findings import Finding, Heatmap, ImageFindings

LEAST_COLUMNS: Final = 760
"""Narrower images stand in a picture of this width, so that the text can be read."""

_BACKGROUND: Final[RGB] = (10, 12, 15)
_TEXT: Final[RGB] = (232, 236, 240)
_DIM: Final[RGB] = (146, 154, 164)
_RULE: Final[RGB] = (44, 50, 58)
_MARK: Final[RGB] = (255, 190, 92)
_WARNING: Final[RGB] = (255, 122, 108)

_LEAST_TEXT: Final = 15
_MOST_TEXT: Final = 30
_ATTENTION_REMARK: Final = (
    "Color and outlines show where the model looked, not the border of a lesion."
)
_LEGEND: Final = "model attention, relative to this image"
_NO_FINDING: Final = "no finding above threshold"

Line = tuple[str, RGB]


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
) -> Picture:
    """Draw one image with what was found on it. No text lies over tissue but region numbers.

    Parameters
    ----------
    heatmaps : of this image
        Shown are those of findings above their threshold.
    """
    colors, identity = context.colors, context.identity
    shown = [
        heatmap
        for finding in image.findings
        if finding.above_threshold
        for heatmap in heatmaps
        if heatmap.finding == finding.name
    ]
    rows, columns = display.pixels.shape
    sheet = _Sheet(max(columns, LEAST_COLUMNS))
    head = sheet.head(image, identity)
    foot = sheet.foot(image, colors, identity, heated=bool(shown))

    placement = Placement(
        column_offset=(sheet.columns - columns) // 2,
        row_offset=head.height,
        column_scale=display.column_scale,
        row_scale=display.row_scale,
    )
    canvas = np.full((rows, sheet.columns, 3), _BACKGROUND, dtype=np.uint8)
    left = placement.column_offset
    canvas[:, left : left + columns] = blend_heatmaps(display, shown)
    canvas = np.concatenate([np.asarray(head), canvas, np.asarray(foot)])
    draw_outlines(canvas, image, placement, colors, thickness=max(2, sheet.text // 8))
    return Picture(pixels=sheet.number(canvas, image, placement, colors), placement=placement)


class _Sheet:
    """The strips of one picture, all measures in units of its text size."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.text = min(max(columns // 52, _LEAST_TEXT), _MOST_TEXT)
        self.margin = self.text
        self.leading = round(1.5 * self.text)

    def head(self, image: ImageFindings, identity: ResultIdentity) -> Image.Image:
        """Draw the strip above: which view this is, and that it is not for diagnosis."""
        title = view_of(image)
        title_font = _font(round(1.9 * self.text))
        title_width = round(title_font.getlength(title))
        beside = self.margin + title_width + 2 * self.text
        lines: list[Line] = [(RESEARCH_MARK, _MARK)]
        lines += [
            (line, _WARNING)
            for line in self._wrapped(
                to_ascii(identity.warning), self.columns - self.margin - beside
            )
        ]
        strip = self._strip(max(len(lines) * self.leading, round(1.9 * self.text)))
        draw = ImageDraw.Draw(strip)
        draw.text((self.margin, strip.height // 2), title, _TEXT, title_font, anchor="lm")
        top = (strip.height - len(lines) * self.leading) // 2
        for number, (text, color) in enumerate(lines):
            draw.text(
                (self.columns - self.margin, top + round((number + 0.5) * self.leading)),
                text,
                color,
                _font(self.text),
                anchor="rm",
            )
        draw.line(
            [(0, strip.height - 1), (self.columns, strip.height - 1)],
            _RULE,
            max(1, self.text // 12),
        )
        return strip

    def foot(
        self,
        image: ImageFindings,
        colors: Mapping[str, RGB],
        identity: ResultIdentity,
        *,
        heated: bool,
    ) -> Image.Image:
        """Draw the strip below: findings with scores, the colour legend, model and version."""
        lines = _finding_lines(image, colors)
        remarks: list[Line] = [
            (line, _DIM)
            for text in _remarks(image, identity)
            for line in self._wrapped(text, self.columns - 2 * self.margin)
        ]
        listed = max(len(lines), 3 if heated else 0)
        strip = self._strip((listed + len(remarks)) * self.leading + self.text // 2)
        draw = ImageDraw.Draw(strip)
        draw.line([(0, 0), (self.columns, 0)], _RULE, max(1, self.text // 12))
        top = self.margin
        for number, (text, color) in enumerate(lines):
            middle = top + round((number + 0.5) * self.leading)
            draw.text((self.margin, middle), text, color, _font(self.text), anchor="lm")
        if heated:
            self._legend(strip, top)
        top += listed * self.leading + self.text // 2
        for number, (text, color) in enumerate(remarks):
            middle = top + round((number + 0.5) * self.leading)
            draw.text((self.margin, middle), text, color, _font(self._small), anchor="lm")
        return strip

    def number(
        self,
        canvas: NDArray[np.uint8],
        image: ImageFindings,
        placement: Placement,
        colors: Mapping[str, RGB],
    ) -> NDArray[np.uint8]:
        """Write the number of each region beside it."""
        picture = Image.fromarray(canvas)
        draw = ImageDraw.Draw(picture)
        for number, name, region in numbered_regions(image):
            points = placement.to_picture(np.asarray(region.outline))
            corner = points[np.argmax(points[:, 0] - points[:, 1])]
            draw.text(
                (min(corner[0] + self.text / 3, self.columns - self.text), corner[1]),
                str(number),
                colors[name],
                _font(self.text),
                anchor="ls",
                stroke_width=max(1, self.text // 8),
                stroke_fill=_BACKGROUND,
            )
        return np.asarray(picture)

    @property
    def _small(self) -> int:
        return max(_LEAST_TEXT - 1, round(0.85 * self.text))

    def _strip(self, content_height: int) -> Image.Image:
        return Image.new("RGB", (self.columns, content_height + 2 * self.margin), _BACKGROUND)

    def _legend(self, strip: Image.Image, top: int) -> None:
        """Draw the colour bar with its ticks at the right edge."""
        draw = ImageDraw.Draw(strip)
        width, height = 13 * self.text, round(0.7 * self.text)
        left = self.columns - self.margin - width
        draw.text(
            (self.columns - self.margin, top + self.leading // 2),
            _LEGEND,
            _TEXT,
            _font(self._small),
            anchor="rm",
        )
        bar = color_of(np.tile(np.linspace(0.0, 1.0, width, dtype=np.float32), (height, 1)))
        bar_top = top + self.leading + self.text // 4
        strip.paste(Image.fromarray(bar), (left, bar_top))
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = left + round(tick * (width - 1))
            draw.line([(x, bar_top + height), (x, bar_top + height + self.text // 4)], _DIM)
            draw.text(
                (x, bar_top + height + self.text // 3),
                f"{tick:g}",
                _DIM,
                _font(round(0.7 * self.text)),
                anchor={0.0: "la", 1.0: "ra"}.get(tick, "ma"),
            )

    def _wrapped(self, text: str, width: int) -> list[str]:
        """Break a text into lines that fit."""
        lines: list[str] = []
        font = _font(self.text)
        for word in text.split():
            if lines and font.getlength(f"{lines[-1]} {word}") <= width:
                lines[-1] = f"{lines[-1]} {word}"
            else:
                lines.append(word)
        return lines


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _finding_lines(image: ImageFindings, colors: Mapping[str, RGB]) -> list[Line]:
    positive = [finding for finding in image.findings if finding.above_threshold]
    if not positive:
        return [(_NO_FINDING, _TEXT), *_highest(image.findings)]
    numbers: dict[str, list[int]] = {}
    for number, name, _ in numbered_regions(image):
        numbers.setdefault(name, []).append(number)
    return [
        (
            "  ".join(
                filter(
                    None,
                    (
                        ", ".join(map(str, numbers.get(finding.name, ()))),
                        words_of(finding.name),
                        score_text(finding),
                    ),
                )
            ),
            colors[finding.name],
        )
        for finding in positive
    ]


def _highest(findings: Sequence[Finding]) -> list[Line]:
    if not findings:
        return []
    highest = max(findings, key=lambda finding: finding.score)
    return [(f"highest: {words_of(highest.name)} {score_text(highest)}", _DIM)]


def _remarks(image: ImageFindings, identity: ResultIdentity) -> list[str]:
    bundle = identity.bundle
    remarks = [
        to_ascii(
            f"Model {bundle.name} {bundle.version} ({bundle.permitted_use}), "
            f"{MODEL_NAME} {identity.software_version}, rev {identity.revision}"
        )
    ]
    if any(finding.regions for finding in image.findings):
        remarks.insert(0, _ATTENTION_REMARK)
    return remarks
