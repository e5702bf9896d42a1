"""Studies that are not four plain views hang in OHIF as far as their images go."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from services import wait_for
from shown_results import IMAGES_HUNG, PHANTOM, files_in_viewer, meet_in_the_middle

FILM: Final = PHANTOM.parent / "film"
PLACES: Final = {
    "RCC": "upper left",
    "LCC": "upper right",
    "RMLO": "lower left",
    "LMLO": "lower right",
}
TURNED: Final[dict[str, tuple[Any, list[str]]]] = {
    "RCC": (np.s_[:, ::-1], ["A", "L"]),
    "LCC": (np.s_[::-1, ::-1], ["P", "L"]),
    "RMLO": (np.s_[::-1, :], ["P", "H"]),
}
"""How pixels of the phantom are stored otherwise, and the orientation that says so."""


def _hung(folder: Path, files: list[Path], *, meet: bool) -> list[str]:
    """Wait until each view hangs in its place; return what the browser complained of."""
    wanted = _by_place(files)
    study = str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    with files_in_viewer(folder, files, {}, study) as shown:
        page = shown.browser.page
        page.goto(shown.hung)
        wait_for(lambda: page.evaluate(IMAGES_HUNG) == wanted, seconds=90, what="each view hangs")
        page.wait_for_load_state("networkidle", timeout=90_000)
        if meet:
            wait_for(
                lambda: meet_in_the_middle(shown.browser.pixels()),
                seconds=30,
                what="the chest walls are in the middle",
            )
        assert page.evaluate(IMAGES_HUNG) == wanted
        return shown.browser.complaints


def _by_place(files: list[Path]) -> dict[str, str]:
    return {
        PLACES[file.stem]: str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
        for file in files
    }


@pytest.mark.long
@pytest.mark.parametrize("missing", PLACES)
def test_a_view_that_is_not_there_leaves_its_place_empty(tmp_path: Path, missing: str) -> None:
    files = [FILM / f"{view}.dcm" for view in PLACES if view != missing]

    complaints = _hung(tmp_path, files, meet=False)

    assert complaints == []


@pytest.mark.long
def test_images_of_one_series_that_are_stored_turned_meet_in_the_middle(tmp_path: Path) -> None:
    series = generate_uid()
    files = []
    for view in PLACES:
        image = pydicom.dcmread(PHANTOM / f"{view}.dcm")
        turn, orientation = TURNED.get(view, (np.s_[:, :], list(image.PatientOrientation)))
        pixels = np.ascontiguousarray(image.pixel_array[turn])
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.PixelData = pixels.tobytes()
        image["PixelData"].VR = "OW"
        image["PixelData"].is_undefined_length = False
        image.PatientOrientation = orientation
        image.SeriesInstanceUID = series
        files.append(tmp_path / f"{view}.dcm")
        image.save_as(files[-1], enforce_file_format=True)

    complaints = _hung(tmp_path, files, meet=True)

    assert complaints == []
