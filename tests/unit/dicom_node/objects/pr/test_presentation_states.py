"""A presentation state draws each region where it lies, in the image's own greys."""

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_kind import objects_of, tomosynthesis
from objects_factory import finding, image_of, mammogram, marker_mask, results_of
from pydicom.dataset import Dataset
from services import require_program
from sr_reading import read_back
from validators import dciodvfy_errors

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.products import Profile

STATES = Profile(objects=frozenset({ResultKind.PRESENTATION_STATE}))
MARKERS = (marker_mask(20, 120), marker_mask(90, 200), marker_mask(40, 230))


def state_of(dataset: Dataset) -> Dataset:
    image = image_of(dataset, finding(marker_mask(60, 150)))
    (state,) = results_of((dataset, image), profiles=(STATES,))
    return read_back(state.dataset)


def polylines(state: Dataset) -> list[np.ndarray]:
    return [
        np.reshape(graphic.GraphicData, (-1, 2))
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", [])
    ]


def window(state: Dataset) -> tuple[float, float, str]:
    (voi,) = state.SoftcopyVOILUTSequence
    return voi.WindowCenter, voi.WindowWidth, voi.get("VOILUTFunction", "LINEAR")


def test_each_region_is_drawn_where_it_lies() -> None:
    (state,) = [
        one.dataset
        for one in objects_of("many findings")
        if one.kind is ResultKind.PRESENTATION_STATE
    ]

    drawn = polylines(read_back(state))

    assert len(drawn) == len(MARKERS)
    for outline, marker in zip(drawn, MARKERS, strict=True):
        rows, columns = np.nonzero(marker)
        assert outline.min(axis=0) == pytest.approx((columns.min(), rows.min()), abs=1.0)
        assert outline.max(axis=0) == pytest.approx((columns.max() + 1, rows.max() + 1), abs=1.0)
        assert tuple(outline[0]) == tuple(outline[-1])
        for column, row in outline:
            assert marker[int(row), int(column)]


def test_each_region_has_a_label_with_number_name_and_score() -> None:
    (state,) = [
        one.dataset
        for one in objects_of("many findings")
        if one.kind is ResultKind.PRESENTATION_STATE
    ]

    labels = [
        text.UnformattedTextValue
        for annotation in state.GraphicAnnotationSequence
        for text in annotation.TextObjectSequence
        if text.BoundingBoxAnnotationUnits == "PIXEL"
    ]

    assert [label.split(" AI ")[0] for label in labels] == ["1", "2", "3"]
    assert "mass" in labels[0]
    assert "83" in labels[0]
    assert "suspicious calcification" in labels[2]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, (2048, 4096, "LINEAR")),
        ({"WindowCenter": [1200.5, 3000], "WindowWidth": [800, 90]}, (1200.5, 800, "LINEAR")),
        ({"VOILUTFunction": "SIGMOID"}, (2048, 4096, "SIGMOID")),
    ],
)
def test_window_is_the_first_of_the_image(
    attributes: dict[str, Any], expected: tuple[float, float, str]
) -> None:
    assert window(state_of(mammogram(**attributes))) == expected


def test_image_without_a_window_leaves_the_viewer_its_own() -> None:
    state = state_of(mammogram(without=("WindowCenter", "WindowWidth")))

    assert "SoftcopyVOILUTSequence" not in state


def test_window_of_a_volume_is_that_of_the_frame() -> None:
    dataset = tomosynthesis(without=("WindowCenter", "WindowWidth"))
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        item = Dataset()
        item.WindowCenter, item.WindowWidth = 100 * number, 1000 + number
        group.FrameVOILUTSequence = [item]

    assert window(state_of(dataset)) == (100, 1001, "LINEAR")


@pytest.mark.parametrize("bits", [7, 8, 10, 12, 14, 16])
def test_table_of_any_bits_shows_the_same_greys_in_bytes_or_words(
    bits: int, tmp_path: Path
) -> None:
    highest = (1 << bits) - 1
    item = Dataset()
    item.LUTDescriptor = [4096, 0, max(bits, 8)]
    item.LUTData = np.linspace(0, highest, 4096).astype("<u2").tobytes()
    item["LUTData"].VR = "OW"

    state = state_of(mammogram(VOILUTSequence=[item]))

    (table,) = state.SoftcopyVOILUTSequence[0].VOILUTSequence
    entries = np.frombuffer(table.LUTData, "u1" if table.LUTDescriptor[2] == 8 else "<u2")
    assert table.LUTDescriptor[2] in {8, 16}
    greys = entries / ((1 << table.LUTDescriptor[2]) - 1)
    assert greys == pytest.approx(np.linspace(0, 1, 4096), abs=1.3 / highest)
    file = tmp_path / "state.dcm"
    state.save_as(file, enforce_file_format=True)
    assert dciodvfy_errors(file) == []


@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")]
)
def test_polarity_is_the_images(photometric: str, shape: str) -> None:
    assert state_of(mammogram(photometric=photometric)).PresentationLUTShape == shape


def test_image_is_neither_turned_nor_flipped() -> None:
    state = state_of(mammogram())

    assert "ImageRotation" not in state
    assert "ImageHorizontalFlip" not in state
    (area,) = state.DisplayedAreaSelectionSequence
    assert area.DisplayedAreaBottomRightHandCorner == [300, 400]


@pytest.mark.validators
def test_dcmpschk_has_nothing_against_it(tmp_path: Path) -> None:
    for number, one in enumerate(objects_of("many findings")):
        if one.kind is ResultKind.PRESENTATION_STATE:
            file = tmp_path / f"{number}.dcm"
            one.dataset.save_as(file, enforce_file_format=True)
            done = subprocess.run(
                [require_program("dcmpschk"), file], capture_output=True, text=True, check=False
            )
            affected = re.findall(r"Affected attribute: (\w+)", done.stdout + done.stderr)
            assert "Testing:" in done.stderr
            assert affected == []
