"""Crop, scale and polarity undone: a marker that the model sees lies where the source has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BreastTomosynthesisImageStorage, ExplicitVRLittleEndian

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.palette import colors_of
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.results import build_results
from dicom_node.objects.sc.secondary_capture import build_secondary_capture
from dicom_node.objects.sources import SourceInstance
from dicom_node.objects.uids import StudyUIDs
from mammoclip_core.analysis.engine import Engine
from mammoclip_core.analysis.study_files import request_from
from mammoclip_core.findings import FindingSource, StudyAnalysis
from mammoclip_core.images.tomosynthesis import Tomosynthesis
from mammoclip_core.manifest import FindingEntry, Manifest, Preprocessing
from mammoclip_core.prediction import Prediction

VIEWS = [("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")]
SIZES = [(900, 700), (1400, 1100), (1024, 1500)]
INPUT = Preprocessing(mode="published", rows=380, columns=228, mean=0.3, std=0.25)
TISSUE, MARKER = 1800, 4000
FRAMES, MIDDLE = 5, 3
FLIPPED: dict[str, Any] = {
    "PatientOrientation": ["P", "FR"],
    "FieldOfViewHorizontalFlip": "YES",
    "FieldOfViewRotation": 180,
    "FieldOfViewOrigin": [12.0, 30.0],
}


class MarkerModel:
    """A stand-in for the model: attends to what is as bright as the marker, pixel by pixel."""

    manifest = Manifest(
        name="stand-in",
        version="1",
        weights_sha256="0" * 64,
        licence="Apache-2.0",
        permitted_use="unrestricted use",
        trained_on="nothing",
        intended_use="tests",
        encoders=(),
        preprocessing=INPUT,
        findings=(
            FindingEntry(
                name="mass",
                code="SCT|4147007|Mass",
                source=FindingSource.PROMPT,
                prompts=("no mass", "mass"),
            ),
        ),
    )

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        shown = batch[:, 0] * INPUT.std + INPUT.mean
        return [
            Prediction(
                # A frame without a marker is bright all over: its greys are stretched.
                scores={"mass": 0.9 if (image > 0.75).mean() < 0.05 else 0.2},
                density_scores=(),
                activations={"mass": (image > 0.75).astype(np.float32)},
            )
            for image in shown
        ]


@dataclass(frozen=True)
class Case:
    """One mammogram with its marker, and what came of it."""

    dataset: Dataset
    marker: NDArray[np.bool_]
    analysis: StudyAnalysis
    stored: NDArray[np.uint16]

    @property
    def tolerance(self) -> float:
        """Return a pixel of the model's input in pixels of the source: what the model can tell."""
        rows, columns = self.marker.shape
        return 1.0 + max(rows / INPUT.rows, columns / INPUT.columns)

    def results(self) -> Mapping[ResultKind, Dataset]:
        source = SourceInstance(dataset=self.dataset, pixels=self.stored)
        built = build_results([source], self.analysis, identity())
        return {one.kind: reread(one.dataset) for one in built}


def identity() -> ResultIdentity:
    return ResultIdentity(
        bundle=MarkerModel.manifest.identity,
        warning="",
        software_version="0",
        revision=1,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def reread(dataset: Dataset) -> Dataset:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def letter_f(size: tuple[int, int], laterality: str) -> NDArray[np.bool_]:
    """Return an F as a mask: no flip, turn or swap of axes leaves it as it is."""
    rows, columns = size
    unit = rows // 40
    mask = np.zeros(size, dtype=np.bool_)
    left = columns // 5 if laterality == "L" else columns - columns // 5 - 5 * unit
    top = rows * 2 // 5
    mask[top : top + 7 * unit, left : left + unit] = True
    mask[top : top + unit, left : left + 5 * unit] = True
    mask[top + 3 * unit : top + 4 * unit, left : left + 3 * unit] = True
    return mask


@pytest.fixture(params=VIEWS, ids="".join)
def view(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(params=["MONOCHROME1", "MONOCHROME2"])
def photometric(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def case(
    request: pytest.FixtureRequest, tmp_path: Path, view: tuple[str, str], photometric: str
) -> Case:
    return made(tmp_path, request.param, view, photometric)


@pytest.fixture(params=["flipped", "middle", "max"])
def odd_case(request: pytest.FixtureRequest, tmp_path: Path, view: tuple[str, str]) -> Case:
    """Return images whose header says that they were flipped and turned, and volumes."""
    if request.param == "flipped":
        return made(tmp_path, SIZES[0], view, "MONOCHROME2", **FLIPPED)
    return made(tmp_path, SIZES[0], view, "MONOCHROME2", Tomosynthesis(request.param))


def made(
    folder: Path,
    size: tuple[int, int],
    view: tuple[str, str],
    photometric: str,
    volume: Tomosynthesis = Tomosynthesis.REFUSE,
    **attributes: Any,
) -> Case:
    """Have the stand-in look at a mammogram, or at a volume whose other frames have no marker."""
    laterality, position = view
    marker = letter_f(size, laterality)
    shown = np.zeros(size, dtype=np.uint16)
    edge = 0 if laterality == "L" else size[1]
    axes = (size[1] * 3 // 5, size[0] * 2 // 5)
    cv2.ellipse(shown, (edge, size[0] // 2), axes, 0, 0, 360, (TISSUE,), cv2.FILLED)
    texture = np.random.default_rng(7).integers(0, 400, size, dtype=np.uint16)
    shown[shown > 0] -= texture[shown > 0]
    plain = shown.copy()
    shown[marker] = MARKER
    stored = 4095 - shown if photometric == "MONOCHROME1" else shown
    dataset = mammogram(stored, laterality, position, photometric)
    if volume is not Tomosynthesis.REFUSE:
        dataset.SOPClassUID = BreastTomosynthesisImageStorage
        dataset.NumberOfFrames = FRAMES
        frames = [shown if number == MIDDLE else plain for number in range(1, FRAMES + 1)]
        dataset.PixelData = np.stack(frames).tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    file = folder / "image.dcm"
    dataset.save_as(file, enforce_file_format=True)
    request = request_from([file], tomosynthesis=volume)
    return Case(dataset, marker, Engine(MarkerModel()).analyze(request), stored)


def mammogram(stored: NDArray[np.uint16], laterality: str, view: str, photometric: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    dataset.SOPInstanceUID = "2.25.11"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1", "2.25.2"
    dataset.PatientName, dataset.PatientID = "Marker^F", "TEST-9"
    dataset.PatientBirthDate, dataset.PatientSex = "", "F"
    dataset.StudyDate, dataset.StudyTime = "20260102", "101500"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
    dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
    dataset.ImageLaterality, dataset.ViewPosition = laterality, view
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.Rows, dataset.Columns = stored.shape
    dataset.ImagerPixelSpacing = [0.1, 0.1]  # highdicom reads no segmentation without
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = stored.tobytes()
    return dataset


def test_report_outlines_the_marker(case: Case) -> None:
    report = case.results()[ResultKind.MEASUREMENT_REPORT]

    (group,) = planar_groups(report)

    selected = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
    assert selected.ReferencedSOPInstanceUID == case.dataset.SOPInstanceUID
    drawn = filled(np.asarray(group.roi.value), case.marker.shape)
    assert_same_place(drawn, case.marker, case.tolerance)


def planar_groups(report: Dataset) -> list:
    parsed = hd.sr.Comprehensive3DSR.from_dataset(report)
    return parsed.content.get_planar_roi_measurement_groups()


def test_header_of_a_flip_and_frames_of_a_volume_move_nothing(odd_case: Case) -> None:
    results = odd_case.results()
    (group,) = planar_groups(results[ResultKind.MEASUREMENT_REPORT])
    drawn = filled(np.asarray(group.roi.value), odd_case.marker.shape)
    mask = np.squeeze(results[ResultKind.SEGMENTATION].pixel_array).astype(bool)

    for found in (drawn, mask):
        assert_same_place(found, odd_case.marker, odd_case.tolerance)
    if "NumberOfFrames" in odd_case.dataset:
        (selected,) = group.roi.ContentSequence[0].ReferencedSOPSequence
        assert selected.ReferencedFrameNumber == MIDDLE


def test_segmentation_covers_the_marker(case: Case) -> None:
    segmentation = hd.seg.Segmentation.from_dataset(case.results()[ResultKind.SEGMENTATION])

    mask = segmentation.get_pixels_by_source_instance([case.dataset.SOPInstanceUID])[0, ..., 0]

    assert mask.shape == case.marker.shape
    assert_same_place(mask.astype(bool), case.marker, case.tolerance)


def test_picture_colors_the_marker(case: Case) -> None:
    findings = case.analysis.findings
    context = ResultContext(
        identity=identity(),
        uids=StudyUIDs.of(findings),
        colors=colors_of(findings.images),
    )
    capture, placement = build_secondary_capture(
        case.dataset,
        findings.images[0],
        1,
        context,
        shown=show(case.dataset, case.stored),
        heatmaps=case.analysis.heatmaps,
    )
    picture = capture.pixel_array.astype(int)
    rows, columns = case.marker.shape
    height, width = round(rows * placement.row_scale), round(columns * placement.column_scale)
    top, left = placement.row_offset, placement.column_offset
    part = picture[top : top + height, left : left + width]
    colored = (part.max(axis=2) - part.min(axis=2)) > 60
    shown = cv2.resize(colored.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST)

    assert_same_place(inside_of_the_outline(shown), case.marker, case.tolerance + 2)


def filled(outline: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill a polygon by the centres of the pixels, with another library than the writer's."""
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon([tuple(point - 0.5) for point in outline], fill=1, outline=1)
    return np.asarray(canvas)


def inside_of_the_outline(colored: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Fill the longest colored line: the number beside it is none of the region."""
    contours, _ = cv2.findContours(colored, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(contours, key=len)
    inside = np.zeros(colored.shape, dtype=np.uint8)
    cv2.drawContours(inside, [longest], -1, (1,), cv2.FILLED)
    return inside.astype(bool)


def assert_same_place(found: NDArray[np.bool_], marker: NDArray[np.bool_], within: float) -> None:
    """Every pixel of one lies near a pixel of the other, both ways round (Hausdorff distance)."""
    assert found.any()
    for one, other in ((found, marker), (marker, found)):
        distance = cv2.distanceTransform(
            (~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        assert distance[one].max() <= within
