"""Pictures are read on a shared screen, and their colours hide nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from legibility import LEAST_CAPITAL, letters_of, line_heights
from objects_factory import (
    NEGATIVE,
    breast_pixels,
    context_of,
    finding,
    heatmap_of,
    image_of,
    mammogram,
    marker_mask,
    study_of,
)

from dicom_node.objects.drawing.heat_colors import STRENGTH, HeatColors, PictureStyle
from dicom_node.objects.drawing.layout import QUARTER, layout_of
from dicom_node.objects.drawing.lettering import MARK, TEXT, WARNING, Paragraph
from dicom_node.objects.drawing.palette import FINDING_COLORS
from dicom_node.objects.drawing.panel import Panel
from dicom_node.objects.drawing.picture import Picture, compose, finding_paragraphs
from dicom_node.objects.drawing.rendering import show
from mammoclip_core.findings import Finding, Heatmap
from mammoclip_core.lesion_location import Depth, Location, Side

QUARTER_OF_A_SCREEN = (456, 600)
FULL_SIZE = (3328, 2560)
NAMES = (
    *("mass", "suspicious_calcification", "architectural_distortion", "asymmetry"),
    *("skin_thickening", "nipple_retraction", "lymph_node", "malignancy"),
)


def picture_of(
    *findings: Finding,
    size: tuple[int, int] = FULL_SIZE,
    heatmaps: Sequence[Heatmap] = (),
    style: PictureStyle = PictureStyle.COLOR,
    side: str = "L",
) -> Picture:
    dataset = mammogram(laterality=side, size=size)
    image = image_of(dataset, *findings)
    display = show(dataset, breast_pixels(dataset), 2048)
    return compose(display, image, heatmaps, context_of(study_of(image)), style)


def on_screen(picture: Picture) -> float:
    """Return pixels of the screen for one of the picture, fit to a quarter of the screen."""
    rows, columns = picture.pixels.shape[:2]
    return min(QUARTER_OF_A_SCREEN[0] / rows, QUARTER_OF_A_SCREEN[1] / columns)


def heights(picture: Picture, color: tuple[int, int, int], size: tuple[int, int]) -> list[int]:
    """Return the heights of the lines of one colour, outside of the image."""
    placement = picture.placement
    top, left = placement.row_offset, placement.column_offset
    rows, columns = round(size[0] * placement.row_scale), round(size[1] * placement.column_scale)
    parts = (
        [picture.pixels[:top], picture.pixels[top + rows :]]
        if top
        else [picture.pixels[:, left + columns :]]
    )
    return [height for part in parts for height in line_heights(letters_of(part, color))]


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("size", [FULL_SIZE, (4096, 2304), (1500, 1500), (1400, 3000)])
def test_words_are_legible_on_a_quarter_of_a_screen(size: tuple[int, int], count: int) -> None:
    mask = marker_mask(size[1] // 3, size[0] // 2, size, 20)
    picture = picture_of(*(finding(mask, name=name) for name in NAMES[:count]), size=size)

    scale = on_screen(picture)

    for color in (MARK, WARNING, TEXT, *FINDING_COLORS[:count]):
        height = max(heights(picture, color, size))
        assert height * scale >= LEAST_CAPITAL, color


OHIF_VIEWPORTS = ((940, 1275), (469, 636))
"""Rows and columns of OHIF's viewport on a screen of 1600 x 1000: one alone, and one of four."""

PLAYER = (40, 83, 81)
"""First and last row of OHIF's player in a viewport, and how far it reaches from its middle."""


@pytest.mark.parametrize(
    ("size", "modifiers"),
    [
        *(((4096, columns), ()) for columns in (1300, 1800, 2304)),
        *(((4096, columns), ("implant displaced",)) for columns in (1300, 2304)),
        ((4096, 2304), ("spot compression",)),
        (FULL_SIZE, ()),
    ],
)
def test_player_of_ohif_hides_no_letter_of_the_view(
    size: tuple[int, int], modifiers: tuple[str, ...]
) -> None:
    dataset = mammogram(size=size)
    mask = marker_mask(size[1] // 3, size[0] // 2, size, 20)
    image = replace(image_of(dataset, finding(mask)), view_modifiers=modifiers)
    display = show(dataset, breast_pixels(dataset), 2048)
    picture = compose(display, image, (), context_of(study_of(image)))
    # The model, in a darker grey, may be hidden: it stands in all other objects.
    letters = np.abs(picture.pixels.astype(int) - TEXT).max(axis=2) < 40
    letters[:, : display.pixels.shape[1]] = False
    rows, columns = letters.shape

    for high, wide in OHIF_VIEWPORTS:
        scale = min(high / rows, wide / columns)
        above = (high - rows * scale) / 2
        top, bottom = (max(0, round((row - above) / scale)) for row in PLAYER[:2])
        left, right = (round(columns / 2 + way * PLAYER[2] / scale) for way in (-1, 1))
        assert not letters[top:bottom, left:right].any()
    assert letters.any()


@pytest.mark.parametrize("size", [FULL_SIZE, (1400, 3000)])
def test_words_stay_legible_beside_the_places_of_eight_lesions(size: tuple[int, int]) -> None:
    mask = marker_mask(size[1] // 3, size[0] // 2, size, 20)
    places = [Location(depth=depth, side=side) for depth in Depth for side in Side]
    findings = [
        replace(one, regions=(replace(one.regions[0], location=place),))
        for one, place in zip((finding(mask, name=name) for name in NAMES), places, strict=False)
    ]

    picture = picture_of(*findings, size=size)

    for color in (MARK, WARNING, TEXT, *FINDING_COLORS[: len(NAMES)]):
        assert max(heights(picture, color, size)) * on_screen(picture) >= LEAST_CAPITAL, color


@pytest.mark.parametrize("size", [(2048, 1575), (956, 2048), (2048, 2048)])
def test_words_never_make_a_picture_many_times_as_large(size: tuple[int, int]) -> None:
    for count in range(20, 420, 10):
        words = Panel(paragraphs=(Paragraph(text="mass " * count),))

        layout = layout_of(size, words, QUARTER, (words, Panel(paragraphs=())))

        assert layout.text < max(size) / 6, count


def test_image_keeps_most_of_the_screen() -> None:
    mask = marker_mask(800, 1500, FULL_SIZE, 20)
    picture = picture_of(finding(mask))

    shown_rows = FULL_SIZE[0] * picture.placement.row_scale * on_screen(picture)

    assert shown_rows > 0.9 * QUARTER_OF_A_SCREEN[0]


def test_long_names_and_warnings_stay_in_the_picture() -> None:
    dataset = mammogram()
    image = image_of(dataset, finding(name="x" * 80))
    context = context_of(study_of(image))
    bundle = replace(context.identity.bundle, name="b" * 300)
    identity = replace(context.identity, bundle=bundle, warning="warning " * 60)

    picture = compose(
        show(dataset, breast_pixels(dataset)), image, (), replace(context, identity=identity)
    )

    for color in (WARNING, FINDING_COLORS[0]):
        letters = letters_of(picture.pixels, color)
        assert letters.any()
        assert not letters[:, -3:].any()
        assert not letters[-3:].any()


def lesion_heatmap() -> Heatmap:
    """Return attention that covers breast and air alike."""
    whole = heatmap_of(mammogram(), 0.0, 0.0)
    return replace(whole, values=np.ones_like(whole.values))


@pytest.mark.parametrize(
    "style", [PictureStyle.COLOR, PictureStyle.SINGLE_COLOR, PictureStyle.SIDE_BY_SIDE]
)
def test_color_keeps_the_contrast_of_what_lies_under_it(style: PictureStyle) -> None:
    greys = np.arange(0, 256, dtype=np.uint8)[np.newaxis]

    tinted = HeatColors(style).over(greys, np.ones(greys.shape, np.float32)).mean(axis=2)

    assert np.ptp(tinted) >= 0.74 * 255
    assert (np.diff(tinted[0]) >= 0).all()
    assert STRENGTH <= 0.25


@pytest.mark.parametrize("side", ["L", "R"])
def test_air_is_never_tinted(side: str) -> None:
    dataset = mammogram(laterality=side)
    heatmap = replace(lesion_heatmap(), sop_instance_uid=str(dataset.SOPInstanceUID))

    picture = picture_of(finding(), size=(400, 300), heatmaps=(heatmap,), side=side)

    left, top = picture.placement.column_offset, picture.placement.row_offset
    part = picture.pixels[top : top + 400, left : left + 300].astype(int)
    tinted = np.ptp(part, axis=2) > 0
    tissue = breast_pixels(dataset) > 0
    assert tinted[tissue].mean() > 0.9
    assert not tinted[~tissue].any()


def test_legend_is_as_strong_as_the_overlay() -> None:
    picture = picture_of(finding(), size=(400, 300), heatmaps=(lesion_heatmap(),))

    tissue = np.full((1, 1), 128, dtype=np.uint8)
    strongest = HeatColors(PictureStyle.COLOR).over(tissue, np.ones((1, 1), np.float32))[0, 0]

    # The legend's right end is drawn as the overlay lies on tissue of a middle grey.
    same = (picture.pixels == strongest).all(axis=2)
    assert same[:, 300:].sum() > 5


def test_plain_image_stands_beside_the_marked_one() -> None:
    mask = marker_mask(60, 150)

    picture = picture_of(
        finding(mask),
        size=(400, 300),
        heatmaps=(lesion_heatmap(),),
        style=PictureStyle.SIDE_BY_SIDE,
    )

    left, top = picture.placement.column_offset, picture.placement.row_offset
    assert left >= 300
    plain = picture.pixels[top : top + 400, :300]
    marked = picture.pixels[top : top + 400, left : left + 300]
    assert np.ptp(plain, axis=2).max() == 0
    assert np.array_equal(plain[:, :, 0] > 0, breast_pixels(mammogram()) > 0)
    assert (np.ptp(marked, axis=2) > 0).any()


def test_outline_is_drawn_over_the_color() -> None:
    mask = marker_mask(60, 150)

    picture = picture_of(finding(mask), size=(400, 300), heatmaps=(lesion_heatmap(),))

    on_left_edge = picture.pixels[150:190, 59:63]
    assert (on_left_edge == FINDING_COLORS[0]).all(axis=2).any()


def test_image_without_finding_says_so_legibly() -> None:
    picture = picture_of(NEGATIVE)

    title, *lines = heights(picture, TEXT, FULL_SIZE)

    assert title > max(lines)
    assert max(lines) * on_screen(picture) >= LEAST_CAPITAL


@pytest.mark.parametrize(
    ("findings", "words"),
    [((NEGATIVE,), "no finding above threshold"), ((), "no finding was looked for")],
)
def test_image_of_a_model_that_looks_for_none_is_not_called_free_of_findings(
    findings: tuple[Finding, ...], words: str
) -> None:
    image = image_of(mammogram(), *findings)

    assert next(finding_paragraphs(image, context_of(study_of(image)))).text == words


@pytest.mark.parametrize("letter", "MWm@|")
@pytest.mark.parametrize("text", [8, 15, 22, 33])
def test_dozens_of_wide_letters_stay_within_their_panel(letter: str, text: int) -> None:
    panel = Panel(paragraphs=(Paragraph(text=64 * letter),))

    drawn = np.asarray(panel.drawn(text, 40 * text, 0))

    places = np.flatnonzero(letters_of(drawn, TEXT).any(axis=0))
    assert places.min() >= text // 2
    assert places.max() < drawn.shape[1] - text // 2 - 1
