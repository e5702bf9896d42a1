"""What a radiologist sees of the results in OHIF and in Orthanc, on the phantom study.

``make screenshots`` runs this module too: with MAMMOCLIP_SCREENSHOTS it keeps what it saw.
"""

import os
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
from browser import Browser, headless_browser
from numpy.typing import NDArray
from PIL import Image
from services import BIN, Orthanc, wait_for
from viewers import TOUR_WAS_SEEN, ohif_before

from mammoclip_core.findings import (
    Box,
    BundleIdentity,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    StudyFindings,
)
from mammoclip_core.findings_document import to_json

PHANTOM: Final = Path(__file__).parents[2] / "deploy" / "demo" / "studies" / "phantom"
REGIONS: Final[dict[str, Box]] = {
    "L CC": (486.0, 339.0, 666.0, 453.0),
    "L MLO": (500.0, 943.0, 680.0, 1057.0),
}
"""The true boxes of the phantom's mass, in source pixels: put by hand, by no model."""

SCORE: Final = 0.83
VIEWS: Final = 4
REPORT: Final = "AI report - RESEARCH USE ONLY"
PICTURES: Final = "AI pictures - RESEARCH USE ONLY, rev 1"
LISTED: Final = {
    "AI mammography CAD - RESEARCH USE ONLY": "SR",
    REPORT: "SR",
    PICTURES: "OT",
    **{f"{view} AI regions - RESEARCH USE ONLY, rev 1": "SEG" for view in REGIONS},
}
"""The modality of each row, by its words."""

_ON_SCREEN: Final = """points => {
  const viewport = cornerstone.getEnabledElements()[0].viewport;
  const frame = viewport.canvas.getBoundingClientRect();
  const image = viewport.getCurrentImageId();
  return points.map(point => {
    const [x, y] = viewport.worldToCanvas(cornerstone.utilities.imageToWorldCoords(image, point));
    return [x + frame.x, y + frame.y];
  });
}"""
"""Where the viewer itself lays pixels of the image that it shows, whatever lies over them."""

_EXTENT: Final = """outline => {
  const box = outline.getBBox(), layer = outline.ownerSVGElement.getBoundingClientRect();
  return [layer.x + box.x, layer.y + box.y,
          layer.x + box.x + box.width, layer.y + box.y + box.height];
}"""


@dataclass(frozen=True)
class Shown:
    """Results in an archive, and a browser on the viewer before it."""

    archive: Orthanc
    address: str
    browser: Browser
    results: dict[str, list[Path]]

    @property
    def study(self) -> str:
        return f"{self.address}/viewer?StudyInstanceUIDs={_findings().study_instance_uid}"

    def shows_image(self) -> bool:
        return bool(_image_shown(self.browser.page))

    def row(self, words: str) -> Any:
        rows = self.browser.page.locator("[data-cy^=study-browser-thumbnail]")
        return rows.filter(has_text=words)

    def visit(self) -> None:
        """Open the study afresh, with nothing still on its way."""
        self.browser.page.goto(self.study)
        self.row(REPORT).wait_for(timeout=90_000)
        wait_for(self.shows_image, seconds=90, what="the first image is shown")
        self.browser.page.wait_for_load_state("networkidle", timeout=90_000)
        self.browser.complaints.clear()

    def box_on_screen(self, box: Box) -> tuple[int, int, int, int]:
        corners = [[box[0], box[1]], [box[2], box[3]]]
        (left, top), (right, bottom) = self.browser.page.evaluate(_ON_SCREEN, corners)
        return round(left), round(top), round(right), round(bottom)

    def keep(self, name: str, pixels: NDArray[np.uint8]) -> None:
        folder = os.environ.get("MAMMOCLIP_SCREENSHOTS")
        if folder:
            Image.fromarray(pixels).save(Path(folder) / f"{name}.jpg", quality=85, optimize=True)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("viewers")
    results = _rendered(folder)
    archive = Orthanc(folder, node_port=1)
    try:
        archive.start()
        for file in [
            *PHANTOM.glob("*.dcm"),
            *(file for files in results.values() for file in files),
        ]:
            _store(archive, file)
        with ohif_before(archive) as address, headless_browser(folder / "profile") as browser:
            browser.page.add_init_script(TOUR_WAS_SEEN)
            yield Shown(archive, address, browser, results)
    finally:
        archive.stop()


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


@pytest.mark.parametrize("of_view", REGIONS)
def test_a_segmentation_lies_over_its_region(opened: Shown, of_view: str) -> None:
    page = opened.browser.page
    opened.row(f"{of_view} AI regions").dblclick()
    page.get_by_role("button", name="Yes").click(timeout=60_000)

    def colored_region() -> str | None:
        view = _view_shown(page)
        if view != of_view:
            return None
        left, top, right, bottom = opened.box_on_screen(REGIONS[view])
        inside = _colored(opened.browser.pixels())[top + 4 : bottom - 4, left + 4 : right - 4]
        return view if inside.size and inside.mean() > 0.95 else None

    view = wait_for(colored_region, seconds=60, what="the region is colored")
    pixels = opened.browser.pixels()
    left, top, right, bottom = opened.box_on_screen(REGIONS[view])
    opened.keep("ohif-segmentation", pixels)
    width, height = right - left, bottom - top
    assert min(width, height) > 30
    for columns, rows in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        x, y = left + columns * (width + 4), top + rows * (height + 4)
        assert not _colored(pixels)[y + 4 : y + height - 4, x + 4 : x + width - 4].any()
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
    assert "Certainty of Finding" in (label.first.text_content() or "")
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
        return int(_colored(opened.browser.pixels())[200:700, 500:1200].sum()) > 300

    wait_for(outlined, seconds=30, what="the outline is shown")
    opened.keep("ohif-picture", opened.browser.pixels())
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
    return page.evaluate(
        "() => window.cornerstone?.getEnabledElements()[0]?.viewport.getCurrentImageId?.() ?? ''"
    )


def _view_shown(page: Any) -> str | None:
    image = _image_shown(page)
    for file in PHANTOM.glob("*.dcm"):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        view = f"{header.ImageLaterality} {header.ViewPosition}"
        if str(header.SOPInstanceUID) in image and view in REGIONS:
            return view
    return None


def _colored(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell what is no grey: a mammogram has none, an overlay has."""
    return pixels.max(axis=2).astype(int) - pixels.min(axis=2) > 30


def _rendered(folder: Path) -> dict[str, list[Path]]:
    document = folder / "findings.json"
    document.write_text(to_json(_findings()), encoding="utf-8")
    command = [
        str(BIN / "mammoclip-node"),
        "render",
        str(PHANTOM),
        "--out",
        str(folder / "results"),
    ]
    command += ["--findings", str(document), "--profile", "all"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    results: dict[str, list[Path]] = {}
    for file in sorted((folder / "results").glob("*.dcm")):
        results.setdefault(file.stem.partition("-")[2], []).append(file)
    return results


def _store(archive: Orthanc, file: Path) -> None:
    url = f"http://127.0.0.1:{archive.http_port}/instances"
    with urllib.request.urlopen(urllib.request.Request(url, file.read_bytes(), method="POST")):
        pass


def _findings() -> StudyFindings:
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in PHANTOM.glob("*.dcm")]
    headers.sort(key=lambda header: (header.ViewPosition, header.ImageLaterality))
    return StudyFindings(
        study_instance_uid=str(headers[0].StudyInstanceUID),
        bundle=BundleIdentity(
            name="regions put by hand",
            version="1",
            sha256="0" * 64,
            licence="Apache-2.0",
            permitted_use="demonstration use",
        ),
        settings_sha256="0" * 64,
        images=tuple(map(_image_findings, headers)),
    )


def _image_findings(header: pydicom.Dataset) -> ImageFindings:
    box = REGIONS.get(f"{header.ImageLaterality} {header.ViewPosition}")
    finding = Finding(
        name="mass",
        code="SCT|4147007|Mass",
        score=SCORE if box else 0.1,
        calibrated=False,
        above_threshold=box is not None,
        source=FindingSource.DETECTOR,
        method=LocalisationMethod.BOX if box else LocalisationMethod.NONE,
        regions=(_region(box),) if box else (),
    )
    return ImageFindings(
        sop_instance_uid=str(header.SOPInstanceUID),
        laterality=header.ImageLaterality,
        view_position=header.ViewPosition,
        status=ImageStatus.ANALYSED,
        findings=(finding,),
    )


def _region(box: Box) -> Region:
    left, top, right, bottom = box
    return Region(
        outline=((left, top), (right, top), (right, bottom), (left, bottom)),
        box=box,
        area_pixels=round((right - left) * (bottom - top)),
        peak=((left + right) / 2, (top + bottom) / 2),
        activation=SCORE,
    )
