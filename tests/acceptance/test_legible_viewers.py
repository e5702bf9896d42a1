"""Pictures of a full-size mammogram are read in viewers at 1600 x 1000, alone or four at a time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pydicom
import pytest
from legibility import LEAST_CAPITAL, letters_of, line_heights
from numpy.typing import NDArray
from services import wait_for
from shown_results import IMAGE_SHOWN, PHANTOM, Shown, phantom_findings, shown_in_viewer

from dicom_node.objects.drawing.lettering import MARK, TEXT
from dicom_node.objects.drawing.palette import FINDING_COLORS, RGB
from mammoclip_core.findings import Region, StudyFindings

ROWS, COLUMNS = 3328, 2560
SCREEN: Final = {"width": 1600, "height": 1000}
PICTURE: Final = "secondary_capture"
WORDS: Final[dict[str, RGB]] = {"banner": MARK, "view": TEXT, "finding": FINDING_COLORS[0]}

KEPT: Final = {"one": "ohif-picture", "four": "ohif-picture-of-four"}

_VIEWPORT: Final = """() => {
  const element = cornerstone.getEnabledElements()[0].viewport;
  const frame = element.canvas.getBoundingClientRect();
  return [frame.x, frame.y, frame.x + frame.width, frame.y + frame.height];
}"""

_GRID: Final = """([addresses, columns]) => {
  document.body.innerHTML = "";
  document.body.style = `margin: 0; height: 100vh; background: black; display: grid;
    grid-template-columns: repeat(${columns}, 1fr); grid-auto-rows: ${100 / columns}vh`;
  for (const address of addresses) {
    const image = document.createElement("img");
    image.src = address;
    image.style = "width: 100%; height: 100%; object-fit: contain; min-width: 0; min-height: 0";
    document.body.append(image);
  }
}"""
"""Previews side by side, each fit to its part of the window."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("legible")
    study, findings = enlarged(folder)
    with shown_in_viewer(folder, study, findings, PICTURE) as results:
        results.browser.page.set_viewport_size(SCREEN)
        yield results


@pytest.mark.parametrize("layout", ["one", "four"])
def test_words_are_legible_in_ohif(shown: Shown, layout: str) -> None:
    page = shown.browser.page
    page.goto(shown.study)
    wait_for(lambda: page.evaluate(IMAGE_SHOWN), seconds=90, what="a picture is shown")
    if layout == "four":
        page.locator("[data-cy=Layout]").click()
        page.locator("[data-cy=Layout-1-1]").click()
    wanted = with_region(shown)

    for _ in shown.results[PICTURE]:
        image = wait_for(lambda: page.evaluate(IMAGE_SHOWN), seconds=30, what="a picture is shown")
        if wanted in image:
            break
        page.keyboard.press("ArrowDown")  # once for each: a slow viewer would go on to the last
        wait_for(
            lambda: page.evaluate(IMAGE_SHOWN) not in ("", image),  # noqa: B023
            seconds=60,
            what="the next picture is shown",
        )
    else:
        pytest.fail("the picture with a region was not shown")

    def are_legible() -> bool:
        """The viewer names the picture before it has drawn it."""
        left, top, right, bottom = (round(edge) for edge in page.evaluate(_VIEWPORT))
        heights = heights_in(shown.browser.pixels()[top:bottom, left:right])
        return min(heights.values()) >= LEAST_CAPITAL

    wait_for(are_legible, seconds=60, what="banner, view and finding are legible")
    shown.keep(KEPT[layout], shown.browser.pixels())


@pytest.mark.parametrize("columns", [1, 2])
def test_words_are_legible_in_previews_of_orthanc(shown: Shown, columns: int) -> None:
    page = shown.browser.page
    (key,) = shown.archive.post(
        "/tools/find", {"Level": "Instance", "Query": {"SOPInstanceUID": with_region(shown)}}
    )
    page.goto(f"http://127.0.0.1:{shown.archive.http_port}/system")
    page.evaluate(_GRID, [[f"/instances/{key}/preview"] * columns**2, columns])
    page.wait_for_function("() => [...document.images].every(image => image.complete)")

    part = shown.browser.pixels()[: 1000 // columns, : 1600 // columns]

    heights = heights_in(part)
    assert min(heights.values()) >= LEAST_CAPITAL, heights


def heights_in(pixels: NDArray[np.uint8]) -> dict[str, int]:
    """Return the height of the highest line of each sort of words, right of the image."""
    panel = pixels[:, find_panel(pixels) :]
    return {
        words: max(line_heights(letters_of(panel, color)), default=0)
        for words, color in WORDS.items()
    }


def find_panel(pixels: NDArray[np.uint8]) -> int:
    """Return the first column that is the background of a panel from top to bottom."""
    empty = (np.abs(pixels.astype(int) - (10, 12, 15)).max(axis=2) < 4).mean(axis=0)
    columns = np.flatnonzero(empty > 0.6)
    return int(columns[0]) if columns.size else 0


def with_region(shown: Shown) -> str:
    """Return the SOP Instance UID of a picture that shows a finding."""
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in shown.results[PICTURE]]
    return next(
        str(header.SOPInstanceUID)
        for header in headers
        if (header.ImageLaterality, header.ViewPosition) == ("L", "CC")
    )


def enlarged(folder: Path) -> tuple[Path, StudyFindings]:
    """Write the phantom study in the size of a detector, and scale its findings."""
    study = folder / "study"
    study.mkdir()
    for file in PHANTOM.glob("*.dcm"):
        dataset = pydicom.dcmread(file)
        pixels = cv2.resize(dataset.pixel_array, (COLUMNS, ROWS)).astype("<u2")
        scale = (COLUMNS / dataset.Columns, ROWS / dataset.Rows)
        dataset.Rows, dataset.Columns = ROWS, COLUMNS
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.save_as(study / file.name)
    findings = phantom_findings()
    return study, replace(
        findings,
        images=tuple(
            replace(
                image,
                findings=tuple(
                    replace(
                        finding,
                        regions=tuple(scaled(region, scale) for region in finding.regions),
                    )
                    for finding in image.findings
                ),
            )
            for image in findings.images
        ),
    )


def scaled(region: Region, scale: tuple[float, float]) -> Region:
    """Return a region on an image of which columns and rows were multiplied."""
    (x, y), (left, top, right, bottom), (column, row) = scale, region.box, region.peak
    return replace(
        region,
        outline=tuple((x * across, y * down) for across, down in region.outline),
        box=(x * left, y * top, x * right, y * bottom),
        peak=(x * column, y * row),
    )
