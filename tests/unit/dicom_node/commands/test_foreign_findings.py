"""A findings document of another program is refused by name, or bounded and that is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from objects_factory import finding, image_of, mammogram, marker_mask, study_of
from studies_on_disk import node, written
from typer.testing import Result

from dicom_node.objects.findings.outlines import crosses_itself, is_line
from mammoclip_core.findings import Region
from mammoclip_core.findings_document import to_json

IMAGE = mammogram()
UID = str(IMAGE.SOPInstanceUID)
SQUARE = [[60.0, 60.0], [90.0, 60.0], [90.0, 90.0], [60.0, 90.0]]
EIGHT = [[60.0, 60.0], [90.0, 90.0], [90.0, 60.0], [60.0, 90.0]]


def rendered(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Result:
    """Render a study with a document that a change was made to; it is given the mass."""
    study = written(tmp_path / "study", mammogram())
    document = json.loads(to_json(study_of(image_of(IMAGE, finding(marker_mask(60, 150))))))
    change(document["images"][0]["findings"][0])
    file = tmp_path / "findings.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return node("render", study, "--out", tmp_path / "out", "--findings", file)


def words_of(out: Path) -> str:
    """Return every text of the reports."""
    reports = map(pydicom.dcmread, [*out.glob("*report.dcm")])
    elements = (element for report in reports for element in report.iterall())
    return " ".join(str(one.value) for one in elements if one.keyword == "TextValue")


def region_with(outline: list[list[float]]) -> Callable[[dict[str, Any]], object]:
    return lambda mass: mass["regions"][0].update(outline=outline)


def placed(outline: list[list[float]]) -> dict[str, Any]:
    """Return an outline with the box and the peak of the square."""
    return {"outline": outline, "box": [60.0, 60.0, 90.0, 90.0], "peak": [75.0, 75.0]}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda mass: mass.update(score=float("nan")), "NaN is no number"),
        (lambda mass: mass["regions"][0].update(peak=[float("inf"), 1.0]), "Infinity is no"),
        (lambda mass: mass.update(score=1.5), "finding mass: score 1.5 of mass outside"),
        (lambda mass: mass.update(score="high"), "finding mass: "),
        (lambda mass: mass.update(above_threshold="no"), "finding mass: above_threshold is 'no'"),
        (lambda mass: mass.update(calibrated=1), "finding mass: calibrated is 1"),
        (lambda mass: mass.update(name=" "), "a finding has no name"),
        (lambda mass: mass.update(method="magic"), "finding mass: 'magic'"),
        (lambda mass: mass.pop("method"), "finding mass: 'method' is missing"),
        (lambda mass: mass.update(threshold=0.9), "its threshold 0.9"),
        (lambda mass: mass.update(threshold=-1.0), "threshold -1.0 of mass outside"),
        (lambda mass: mass.update(method="none"), "mass has regions, but its method is none"),
        (lambda mass: mass["regions"][0].update(area_pixels=-1), "area_pixels -1 of a region"),
        (region_with(SQUARE[:2]), "an outline needs 3 vertices"),
        (region_with([[1.0, 2.0], [3.0, 4.0], [5.0]]), "finding mass: "),
    ],
)
def test_value_that_is_none_is_refused_with_image_and_finding(
    change: Callable[[dict[str, Any]], object], complaint: str, tmp_path: Path
) -> None:
    done = rendered(tmp_path, change)

    assert done.exit_code == 1
    assert complaint in done.stderr
    assert "NaN" in complaint or "Infinity" in complaint or f"image {UID}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "outline",
    [
        [[-1.0, 10.0], [20.0, 10.0], [20.0, 20.0]],
        [[290.0, 10.0], [301.0, 10.0], [295.0, 20.0]],
        [[10.0, 390.0], [20.0, 401.0], [30.0, 390.0]],
    ],
)
@pytest.mark.parametrize("profile", ["all", "pacs"])
def test_region_outside_its_image_is_refused_by_every_profile(
    outline: list[list[float]], profile: str, tmp_path: Path
) -> None:
    done = rendered(tmp_path, region_with(outline))

    assert done.exit_code == 1
    assert f"finding mass: an outline leaves image {UID} of 400 x 300 pixels" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"box": [60.0, 60.0, 301.0, 90.0]}, "a region's box"),
        ({"box": [90.0, 60.0, 60.0, 90.0]}, "a region's box"),
        ({"peak": [70.0, -1.0]}, "a region's peak"),
    ],
)
def test_box_or_peak_outside_the_image_is_refused(
    change: dict[str, list[float]], complaint: str, tmp_path: Path
) -> None:
    done = rendered(tmp_path, lambda mass: mass["regions"][0].update(change))

    assert done.exit_code == 1
    assert f"finding mass: image {UID}: {complaint}" in done.stderr


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"outline": SQUARE}, "an outline from column 60 to 90 and row 60 to 90 leaves the box"),
        ({"peak": [200.0, 170.0]}, "the peak (200.0, 170.0) leaves the box"),
    ],
)
def test_region_that_is_in_two_places_is_refused(
    change: dict[str, list[Any]], complaint: str, tmp_path: Path
) -> None:
    done = rendered(tmp_path, lambda mass: mass["regions"][0].update(change))

    assert done.exit_code == 1
    assert f"finding mass: image {UID}: {complaint}" in done.stderr


def test_finding_of_an_unknown_name_is_written_under_a_private_code(tmp_path: Path) -> None:
    done = rendered(tmp_path, lambda mass: mass.update(name="Gefäßzeichnung", code="x"))

    assert done.exit_code == 0, done.output
    assert "Gefazeichnung score 0.83 (above threshold)" in words_of(tmp_path / "out")


def test_outline_that_crosses_itself_is_drawn_and_told(tmp_path: Path) -> None:
    done = rendered(tmp_path, lambda mass: mass["regions"][0].update(placed(EIGHT)))

    assert done.exit_code == 0, done.output
    assert "the outline of 1 region of mass crosses itself" in words_of(tmp_path / "out")


@pytest.mark.parametrize(
    "line",
    [
        [[60.0, 60.0], [75.0, 75.0], [90.0, 90.0]],
        [[60.0, 75.0], [90.0, 75.0], [70.0, 75.0], [80.0, 75.0]],
        [[75.0, 75.0]] * 3,
    ],
)
def test_region_that_is_a_line_is_left_out_and_told(
    line: list[list[float]], tmp_path: Path
) -> None:
    def with_a_line(mass: dict[str, Any]) -> None:
        first = mass["regions"][0]
        mass["regions"] = [first | placed(SQUARE), first | placed(line) | {"lesion": 0}]

    done = rendered(tmp_path, with_a_line)

    assert done.exit_code == 0, done.output
    words = words_of(tmp_path / "out")
    assert "1 region of mass is left out, since its outline encloses nothing" in words
    (report,) = (tmp_path / "out").glob("*measurement_report.dcm")
    outlines = [one for one in pydicom.dcmread(report).iterall() if one.keyword == "GraphicData"]
    assert len(outlines) == 1
    (segmentation,) = (tmp_path / "out").glob("*segmentation.dcm")
    assert len(pydicom.dcmread(segmentation).SegmentSequence) == 1


def test_ten_thousand_regions_are_bounded_and_told(tmp_path: Path) -> None:
    def many(mass: dict[str, Any]) -> None:
        first = mass["regions"][0] | {"score_of": "region", "above_threshold": True}
        mass["regions"] = [
            first | placed(SQUARE) | {"score": 0.5 + number / 40_000, "activation": 0.5}
            for number in range(10_000)
        ]

    done = rendered(tmp_path, many)

    assert done.exit_code == 0, done.output
    words = words_of(tmp_path / "out")
    assert "of the regions of mass the 100 highest are shown, 9900 are left out" in words
    (segmentation,) = (tmp_path / "out").glob("*segmentation.dcm")
    assert len(pydicom.dcmread(segmentation).SegmentSequence) == 100


def test_image_that_the_study_does_not_have_is_named(tmp_path: Path) -> None:
    study = written(tmp_path / "study", mammogram("CC"))
    missing = mammogram("MLO", "R")
    answer = study_of(image_of(mammogram("CC"), finding()), image_of(missing, finding()))
    file = tmp_path / "findings.json"
    file.write_text(to_json(answer), encoding="utf-8")

    done = node("render", study, "--out", tmp_path / "out", "--findings", file)

    assert done.exit_code == 1
    assert f"instance {missing.SOPInstanceUID} is not among the sources" in done.stderr


@pytest.mark.parametrize(
    ("outline", "crosses"),
    [
        (EIGHT, True),
        (SQUARE, False),
        ([[0.0, 0.0], [9.0, 0.0], [0.0, 0.0], [0.0, 9.0]], False),
        ([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [4.0, 0.0]], False),
        ([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [4.0, -1.0]], True),
    ],
)
def test_only_edges_that_cross_count(outline: list[list[float]], crosses: bool) -> None:
    points = tuple((column, row) for column, row in outline)
    region = Region(
        outline=points, box=(0.0, 0.0, 9.0, 9.0), area_pixels=9, peak=(1.0, 1.0), activation=0.5
    )

    assert crosses_itself(region) is crosses


@pytest.mark.parametrize(
    ("outline", "line"),
    [
        ([[0.0, 0.0], [3.0, 1.0], [9.0, 3.0]], True),
        ([[0.0, 0.0], [3.0, 1.02], [9.0, 3.0]], False),
        (EIGHT, False),
        ([[0.0, 0.0], [9.0, 0.0], [9.0, 1.0], [0.0, 1.0]], False),
    ],
)
def test_only_vertices_on_one_line_are_a_line(outline: list[list[float]], line: bool) -> None:
    points = tuple((column, row) for column, row in outline)
    region = Region(
        outline=points, box=(0.0, 0.0, 9.0, 9.0), area_pixels=9, peak=(1.0, 1.0), activation=0.5
    )

    assert is_line(region) is line
