"""What a radiologist sees of the results in OHIF and in Orthanc, on the phantom study.

``make screenshots`` runs this module too: with MAMMOCLIP_SCREENSHOTS it keeps what it saw.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
from PIL import Image
from services import wait_for
from shown_results import (
    IMAGE_SHOWN,
    IMAGES_HUNG,
    PHANTOM,
    REGIONS,
    REPORT,
    SCORE,
    Shown,
    is_colored,
    meet_in_the_middle,
    phantom_findings,
    region_is_colored,
    shown_in_viewer,
)

VIEWS: Final = 4
PICTURES: Final = "AI pictures - RESEARCH USE ONLY, rev 1"
LISTED: Final = {
    "AI mammography CAD - RESEARCH USE ONLY": "SR",
    REPORT: "SR",
    PICTURES: "OT",
    **{f"{view} AI regions - RESEARCH USE ONLY, rev 1": "SEG" for view in REGIONS},
}
"""The modality of each row, by its words."""

_EXTENT: Final = """outline => {
  const box = outline.getBBox(), layer = outline.ownerSVGElement.getBoundingClientRect();
  return [layer.x + box.x, layer.y + box.y,
          layer.x + box.x + box.width, layer.y + box.y + box.height];
}"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("viewers")
    with shown_in_viewer(folder, PHANTOM, phantom_findings()) as shown:
        yield shown


@pytest.fixture
def opened(shown: Shown) -> Shown:
    """Open the study afresh: OHIF 3.13 trips over a report that follows a segmentation."""
    shown.visit()
    return shown


def test_the_study_is_listed(shown: Shown) -> None:
    page = shown.browser.page
    page.goto(f"{shown.address}/")
    page.get_by_text("PHANTOM").first.wait_for(timeout=90_000)
    row = page.locator("tr").filter(has_text="PHANTOM").first.inner_text()
    assert {"MG", "OT", "SEG", "SR"} <= set(row.replace("\\", " ").replace("/", " ").split())
    assert shown.browser.complaints == []


def test_each_result_is_listed_by_its_own_words(opened: Shown) -> None:
    for words, modality in LISTED.items():
        assert opened.row(words).count() == 1
        assert modality in opened.row(words).inner_text()
    picture = opened.row(PICTURES)
    assert str(VIEWS) in picture.inner_text().split()
    thumbnail = picture.locator("img")
    thumbnail.wait_for()
    assert thumbnail.evaluate("image => image.naturalWidth") > 0


def test_views_hang_back_to_back_and_the_results_on_the_next_stage(shown: Shown) -> None:
    views_and_results_hang(shown)


@pytest.mark.long
@pytest.mark.parametrize("_visit", range(4))
def test_results_hang_on_a_slow_workstation(shown: Shown, _visit: int) -> None:
    """At a tenth of the speed the report's image comes before its regions in half of the visits."""
    page = shown.browser.page
    processor = page.context.new_cdp_session(page)
    processor.send("Emulation.setCPUThrottlingRate", {"rate": 10})
    try:
        views_and_results_hang(shown)
    finally:
        processor.send("Emulation.setCPUThrottlingRate", {"rate": 1})


def views_and_results_hang(shown: Shown) -> None:
    page = shown.browser.page
    page.goto(shown.hung)
    views = {
        "upper left": "R CC", "upper right": "L CC", "lower left": "R MLO", "lower right": "L MLO",
    }  # fmt: skip
    wanted = {place: str(_header_of(view).SOPInstanceUID) for place, view in views.items()}

    wait_for(
        lambda: page.evaluate(IMAGES_HUNG) == wanted,
        seconds=90,
        what="each view hangs in its place",
    )
    wait_for(lambda: meet_in_the_middle(shown.browser.pixels()), seconds=30, what="they are shown")
    shown.keep("ohif-hung", shown.browser.pixels())
    page.keyboard.press(".")  # the next stage

    label = page.locator("svg.svg-layer text").filter(has_text=f"{100 * SCORE:.2f} %")
    label.first.wait_for(timeout=60_000)
    first_picture = pydicom.dcmread(shown.results["secondary_capture"][0], stop_before_pixels=True)
    of_results = {
        "upper left": str(first_picture.SOPInstanceUID),
        "upper right": wanted["upper right"],  # the report's first region
        "lower right": wanted["upper right"],
    }
    wait_for(lambda: page.evaluate(IMAGES_HUNG) == of_results, seconds=60, what="the results hang")
    wait_for(lambda: region_is_colored(shown.browser), seconds=60, what="the region is colored")
    assert shown.browser.complaints == []


@pytest.mark.parametrize("of_view", [pytest.param("L CC", marks=pytest.mark.long), "L MLO"])
def test_a_segmentation_lies_over_its_region(opened: Shown, of_view: str) -> None:
    page = opened.browser.page
    opened.row(f"{of_view} AI regions").dblclick()
    page.get_by_role("button", name="Yes").click(timeout=60_000)

    def colored_region() -> str | None:
        view = _view_shown(page)
        if view != of_view:
            return None
        left, top, right, bottom = opened.box_on_screen(REGIONS[view])
        inside = is_colored(opened.browser.pixels())[top + 4 : bottom - 4, left + 4 : right - 4]
        return view if inside.size and inside.mean() > 0.95 else None

    view = wait_for(colored_region, seconds=60, what="the region is colored")
    pixels = opened.browser.pixels()
    left, top, right, bottom = opened.box_on_screen(REGIONS[view])
    opened.keep("ohif-segmentation", pixels)
    width, height = right - left, bottom - top
    assert min(width, height) > 30
    for columns, rows in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        x, y = left + columns * (width + 4), top + rows * (height + 4)
        assert not is_colored(pixels)[y + 4 : y + height - 4, x + 4 : x + width - 4].any()
    assert opened.browser.complaints == []


def test_the_report_is_drawn_at_its_region(opened: Shown) -> None:
    page = opened.browser.page
    label = page.locator("svg.svg-layer text").filter(has_text=f"{100 * SCORE:.2f} %")
    outline = page.locator("svg.svg-layer polyline")
    opened.row(REPORT).dblclick()

    def drawn() -> bool:
        # OHIF 3.13 may draw before it knows the report's outlines, and then not until it is moved.
        page.keyboard.press("Equal")  # zoom to fit
        return bool(label.count())

    wait_for(drawn, seconds=60, what="the outline is drawn")
    view = wait_for(lambda: _view_shown(page), seconds=10, what="a view with a region is shown")
    extent = outline.first.evaluate(_EXTENT)
    assert extent == pytest.approx(opened.box_on_screen(REGIONS[view]), abs=2)
    words = label.first.text_content() or ""
    assert f"1 mass, RESEARCH USE ONLY: {100 * SCORE:.2f} %" in words
    assert "Certainty of Finding" in words
    opened.keep("ohif-report", opened.browser.pixels())
    assert opened.browser.complaints == []


def test_a_picture_is_shown(opened: Shown) -> None:
    page = opened.browser.page
    opened.row(PICTURES).dblclick()
    in_viewport = page.get_by_text(PICTURES).nth(1)  # beside the row of the same words
    in_viewport.wait_for(timeout=60_000)

    wanted = _pictures_with_regions(opened.results["secondary_capture"])
    for _ in range(VIEWS):
        image = wait_for(lambda: _image_shown(page), seconds=30, what="a picture is shown")
        if any(uid in image for uid in wanted):
            break
        page.keyboard.press("ArrowDown")
        wait_for(lambda: _image_shown(page) != image, seconds=30, what="the next one is shown")  # noqa: B023
    else:
        pytest.fail(f"none of {wanted} was shown")

    def outlined() -> bool:
        return int(is_colored(opened.browser.pixels())[200:700, 500:1200].sum()) > 300

    wait_for(outlined, seconds=30, what="the outline is shown")
    assert opened.browser.complaints == []


@pytest.mark.parametrize("kind", ["secondary_capture", "summary_sheet"])
def test_orthanc_previews_what_was_drawn(shown: Shown, kind: str) -> None:
    for file in shown.results[kind]:
        dataset = pydicom.dcmread(file)
        (key,) = shown.archive.post(
            "/tools/find",
            {"Level": "Instance", "Query": {"SOPInstanceUID": str(dataset.SOPInstanceUID)}},
        )
        preview = Image.open(BytesIO(shown.archive.get_bytes(f"/instances/{key}/preview")))
        assert np.array_equal(np.asarray(preview.convert("RGB")), dataset.pixel_array)
    preview.thumbnail((1200, 1200))
    shown.keep(f"orthanc-{kind.replace('_', '-')}", np.asarray(preview.convert("RGB")))


def _pictures_with_regions(files: list[Path]) -> set[str]:
    views = {view: _header_of(view).SOPInstanceUID for view in REGIONS}
    pictures = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    return {
        str(picture.SOPInstanceUID)
        for picture in pictures
        if picture.SourceImageSequence[0].ReferencedSOPInstanceUID in views.values()
    }


def _header_of(view: str) -> pydicom.Dataset:
    return pydicom.dcmread(PHANTOM / f"{view.replace(' ', '')}.dcm", stop_before_pixels=True)


def _image_shown(page: Any) -> str:
    return page.evaluate(IMAGE_SHOWN)


def _view_shown(page: Any) -> str | None:
    image = _image_shown(page)
    for file in PHANTOM.glob("*.dcm"):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        view = f"{header.ImageLaterality} {header.ViewPosition}"
        if str(header.SOPInstanceUID) in image and view in REGIONS:
            return view
    return None
