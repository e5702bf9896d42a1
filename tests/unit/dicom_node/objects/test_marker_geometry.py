"""An asymmetric marker is read back where it was put, by readers that are not our builders.

The findings document is rendered by the command; pydicom and highdicom parse the files. The study
is of all four views, so that both lateralities and both projections are in each case. A flipped
and turned field of view, and frames of a volume, move nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from every_kind import tomosynthesis
from objects_factory import (
    finding,
    image_of,
    mammogram,
    marker_mask,
    standard_views,
    study_of,
)
from pydicom.dataset import Dataset
from sr_reading import children, concept, points_of, target_of, walk
from studies_on_disk import document_in, node, written

SIZES = [(400, 300), (1664, 1280), (700, 1400)]
UNIT = 8
FRAMES, FRAME = 5, 4
FLIPPED: dict[str, Any] = {
    "PatientOrientation": ["P", "FR"],
    "FieldOfViewHorizontalFlip": "YES",
    "FieldOfViewRotation": 180,
    "FieldOfViewOrigin": [12.0, 30.0],
}


def places(size: tuple[int, int]) -> dict[tuple[str, str], tuple[int, int]]:
    """Give each view a place of its own for its marker."""
    rows, columns = size
    return {
        view: (columns // 5 + 17 * number, rows // 4 + 23 * number)
        for number, view in enumerate(standard_views())
    }


@pytest.fixture(
    scope="module",
    params=[
        *(
            (size, photometric, "plain")
            for size in SIZES
            for photometric in ("MONOCHROME1", "MONOCHROME2")
        ),
        (SIZES[0], "MONOCHROME2", "flipped"),
        (SIZES[0], "MONOCHROME1", "volume"),
    ],
    ids=str,
)
def rendered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, np.ndarray], list[Dataset]]:
    """Return the marker of each image by its UID, and all result objects."""
    size, photometric, form = request.param
    folder = tmp_path_factory.mktemp("marker")
    datasets, markers, images = [], {}, []
    for (side, view), (left, top) in places(size).items():
        if form == "volume":
            dataset = tomosynthesis(side, view, FRAMES, size=size, photometric=photometric)
        else:
            flipped = FLIPPED if form == "flipped" else {}
            dataset = mammogram(view, side, size=size, photometric=photometric, **flipped)
        markers[str(dataset.SOPInstanceUID)] = marker_mask(left, top, size, UNIT)
        datasets.append(dataset)
        frame = FRAME if form == "volume" else 1
        found = replace(finding(markers[str(dataset.SOPInstanceUID)]), frame=frame)
        images.append(replace(image_of(dataset, found), frame=frame))
    study = written(folder / "study", *datasets)
    findings = document_in(folder, study_of(*images))
    done = node("render", study, "--out", folder / "out", "--findings", findings)
    assert done.exit_code == 0, done.output
    return markers, [pydicom.dcmread(file) for file in sorted((folder / "out").iterdir())]


def frames_of(dataset: Dataset) -> set[int]:
    """Return every frame number that an object names."""
    return {int(one.value) for one in dataset.iterall() if one.keyword == "ReferencedFrameNumber"}


def of_class(objects: list[Dataset], ending: str) -> list[Dataset]:
    return [one for one in objects if one.SOPClassUID.endswith(ending)]


def vertices(marker: np.ndarray) -> list[tuple[float, float]]:
    """Return the six corners of the letter L, through the centres of its outer pixels."""
    rows, columns = np.nonzero(marker)
    left, top = columns.min() + 0.5, rows.min() + 0.5
    right, bottom = columns.max() + 0.5, rows.max() + 0.5
    stem, bar = left + 2 * UNIT - 1, top + 4 * UNIT
    return [(left, top), (stem, top), (stem, bar), (right, bar), (right, bottom), (left, bottom)]


def assert_outlines(outline: np.ndarray, marker: np.ndarray) -> None:
    """Every corner is on the outline, and the outline never leaves the marker's border."""
    for corner in vertices(marker):
        assert np.hypot(*(outline - corner).T).min() <= 1.0
    padded = np.pad(marker, 1)
    for column, row in outline:
        neighbourhood = padded[int(row) : int(row) + 3, int(column) : int(column) + 3]
        assert neighbourhood.any()
        assert not neighbourhood.all()


def cad_outlines(report: Dataset) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for _, item in walk(report):
        if concept(item) == "111059":
            (center,), (outline,) = children(item, "111010"), children(item, "111041")
            entry = target_of(report, outline.ContentSequence[0])
            yield (
                entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
                np.array(points_of(center)[0]),
                np.array(points_of(outline)),
            )


def test_measurement_report_has_the_marker(rendered) -> None:
    markers, objects = rendered
    (report,) = of_class(objects, ".88.34")

    groups = hd.sr.Comprehensive3DSR.from_dataset(
        report
    ).content.get_planar_roi_measurement_groups()

    assert len(groups) == len(markers)
    for group in groups:
        region = group.roi
        uid = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert_outlines(np.asarray(region.value), markers[uid])


def test_cad_report_has_the_marker(rendered) -> None:
    markers, objects = rendered
    (report,) = of_class(objects, ".88.50")

    outlines = list(cad_outlines(report))

    assert {uid for uid, _, _ in outlines} == set(markers)
    for uid, _, outline in outlines:
        assert_outlines(outline, markers[uid])


def test_cad_report_has_the_markers_center(rendered) -> None:
    markers, objects = rendered
    (report,) = of_class(objects, ".88.50")

    for uid, center, _ in cad_outlines(report):
        rows, columns = np.nonzero(markers[uid])
        assert center == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5), abs=1.0)


def test_segmentation_has_the_marker(rendered) -> None:
    markers, objects = rendered
    segmentations = of_class(objects, ".66.4")

    seen = set()
    for dataset in segmentations:
        segmentation = hd.seg.Segmentation.from_dataset(dataset)
        ((_, _, uid),) = segmentation.get_source_image_uids()
        frames = frames_of(dataset)
        pixels = (
            segmentation.get_pixels_by_source_frame(uid, list(frames))
            if frames
            else segmentation.get_pixels_by_source_instance([uid])
        )
        assert np.array_equal(pixels[0, :, :, 0].astype(bool), markers[uid])
        seen.add(str(uid))
    assert seen == set(markers)


def test_every_object_names_the_frame_of_a_volume(rendered) -> None:
    _, objects = rendered
    named = {frozenset(frames_of(one)) for one in objects}

    assert named in ({frozenset()}, {frozenset({FRAME})})


def test_report_and_segmentation_track_the_same_thing(rendered) -> None:
    _, objects = rendered
    (report,) = of_class(objects, ".88.34")
    (cad,) = of_class(objects, ".88.50")

    segments = {
        segment.TrackingUID
        for dataset in of_class(objects, ".66.4")
        for segment in dataset.SegmentSequence
    }

    for one in (report, cad):
        tracked = {item.UID for _, item in walk(one) if concept(item) == "112040"}
        assert segments <= tracked
