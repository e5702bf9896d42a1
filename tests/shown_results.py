"""Results of the phantom study in an archive, and a browser on the viewer before it."""

import os
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
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

PHANTOM: Final = Path(__file__).parents[1] / "deploy" / "demo" / "studies" / "phantom"
REGIONS: Final[dict[str, Box]] = {
    "L CC": (486.0, 339.0, 666.0, 453.0),
    "L MLO": (500.0, 943.0, 680.0, 1057.0),
}
"""The true boxes of the phantom's mass, in source pixels: put by hand, by no model."""

SCORE: Final = 0.83
REPORT: Final = "AI report - RESEARCH USE ONLY"

_ON_SCREEN: Final = """([points, number]) => {
  const viewport = cornerstone.getEnabledElements()[number].viewport;
  const frame = viewport.canvas.getBoundingClientRect();
  const image = viewport.getCurrentImageId();
  return points.map(point => {
    const [x, y] = viewport.worldToCanvas(cornerstone.utilities.imageToWorldCoords(image, point));
    return [x + frame.x, y + frame.y];
  });
}"""
"""Where the viewer itself lays pixels of the image that it shows, whatever lies over them."""

_VIEWPORTS: Final = """() => (window.cornerstone?.getEnabledElements() ?? [])
  .filter(one => one.viewport.getCurrentImageId?.()).length"""
"""How many viewports show an image."""

IMAGE_SHOWN: Final = """() =>
  window.cornerstone?.getEnabledElements()[0]?.viewport.getCurrentImageId?.() ?? ''"""


IMAGES_HUNG: Final = """() => {
  const viewports = (window.cornerstone?.getEnabledElements() ?? []).map(one => one.viewport);
  return Object.fromEntries(viewports.map(viewport => {
    const box = viewport.canvas.getBoundingClientRect();
    const place = `${box.y > 300 ? 'lower' : 'upper'} ${box.x > 600 ? 'right' : 'left'}`;
    return [place, viewport.getCurrentImageId?.()?.match(/instances\\/([0-9.]+)/)?.[1]];
  }));
}"""
"""SOP Instance UID of the image in each place of a grid of two by two."""


@dataclass(frozen=True)
class Shown:
    """Results in an archive, and a browser on the viewer before it."""

    archive: Orthanc
    address: str
    browser: Browser
    results: dict[str, list[Path]]
    study_instance_uid: str

    @property
    def hung(self) -> str:
        """Address of the study as the shipped settings hang it."""
        return f"{self.address}/viewer?StudyInstanceUIDs={self.study_instance_uid}"

    @property
    def study(self) -> str:
        """Address of the study in one viewport, as the viewer hangs it by itself."""
        return f"{self.hung}&hangingProtocolId=default"

    def shows_image(self) -> bool:
        return bool(self.browser.page.evaluate(IMAGE_SHOWN))

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
        return box_on_screen(self.browser, box)

    def keep(self, name: str, pixels: NDArray[np.uint8]) -> None:
        folder = os.environ.get("MAMMOCLIP_SCREENSHOTS")
        if folder:
            Image.fromarray(pixels).save(Path(folder) / f"{name}.jpg", quality=80, optimize=True)


@contextmanager
def shown_in_viewer(
    folder: Path, study: Path, findings: StudyFindings, *kinds: str
) -> Iterator[Shown]:
    """Render findings, store the study and its results, and open a browser; yields both.

    Parameters
    ----------
    kinds : of results to store; all of them and the study itself if none is named
    """
    results = rendered(folder, study, findings)
    files = [] if kinds else list(study.glob("*.dcm"))
    files += [file for kind in kinds or results for file in results[kind]]
    with files_in_viewer(folder, files, results, findings.study_instance_uid) as shown:
        yield shown


@contextmanager
def files_in_viewer(
    folder: Path, files: Iterable[Path], results: dict[str, list[Path]], study_instance_uid: str
) -> Iterator[Shown]:
    """Store files of one study, and open a browser; yields both.

    Parameters
    ----------
    results : those of the files that are results, by kind
    """
    archive = Orthanc(folder, node_port=1)
    try:
        archive.start()
        for file in files:
            store(archive, file)
        with ohif_before(archive) as address, headless_browser(folder / "profile") as browser:
            browser.page.add_init_script(TOUR_WAS_SEEN)
            yield Shown(archive, address, browser, results, study_instance_uid)
    finally:
        archive.stop()


def box_on_screen(browser: Browser, box: Box, viewport: int = 0) -> tuple[int, int, int, int]:
    """Return where the viewer lays a box of the image in one of its viewports."""
    corners = [[box[0], box[1]], [box[2], box[3]]]
    (left, top), (right, bottom) = browser.page.evaluate(_ON_SCREEN, [corners, viewport])
    return round(left), round(top), round(right), round(bottom)


def region_is_colored(browser: Browser) -> bool:
    """Tell whether a segmentation lies over the first region, in the last place of the results."""
    if browser.page.evaluate(_VIEWPORTS) < 3:  # the viewer is still laying them out
        return False
    left, top, right, bottom = box_on_screen(browser, REGIONS["L CC"], viewport=2)
    pixels = is_colored(browser.pixels())[top + 4 : bottom - 4, left + 4 : right - 4]
    return pixels.size > 0 and bool(pixels.mean() > 0.95)


def is_colored(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell what is no grey: a mammogram has none, an overlay has."""
    return pixels.max(axis=2).astype(int) - pixels.min(axis=2) > 30


def meet_in_the_middle(pixels: NDArray[np.uint8]) -> bool:
    """Tell whether chest walls lie in the middle of the grid, and pectoral muscles at the top."""
    middles = [pixels[row, column].min() for row in (250, 490, 800) for column in (810, 840)]
    edges = [pixels[row, column].max() for row in (250, 670) for column in (340, 1300)]
    return bool(min(middles) > 40 and max(edges) < 20)


def rendered(folder: Path, study: Path, findings: StudyFindings) -> dict[str, list[Path]]:
    document = folder / "findings.json"
    document.write_text(to_json(findings), encoding="utf-8")
    command = [
        str(BIN / "mammoclip-node"),
        "render",
        str(study),
        "--out",
        str(folder / "results"),
    ]
    command += ["--findings", str(document), "--profile", "all"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    results: dict[str, list[Path]] = {}
    for file in sorted((folder / "results").glob("*.dcm")):
        results.setdefault(file.stem.partition("-")[2], []).append(file)
    return results


def store(archive: Orthanc, file: Path) -> None:
    url = f"http://127.0.0.1:{archive.http_port}/instances"
    with urllib.request.urlopen(urllib.request.Request(url, file.read_bytes(), method="POST")):
        pass


def phantom_findings() -> StudyFindings:
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
            warning="",
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
        lesion=1,
    )
