"""Result objects: every kind of object of a screening study at full size, decoding excluded."""

import resource
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from parts.report import Report, Row, machine, show
from pydicom.dataset import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from dicom_node.objects.analysed_study import DEFAULT_OPTIONS
from dicom_node.objects.drawing.rendering import DisplayPicture
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.products import PROFILES
from dicom_node.objects.results import stream_results
from dicom_node.objects.sources import SourceInstance
from dicom_node.objects.uids import uid_of
from dicom_node.objects.writing import write_object
from mammoclip_core.findings import (
    BundleIdentity,
    Finding,
    FindingSource,
    Heatmap,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    StudyAnalysis,
    StudyFindings,
)
from mammoclip_core.images.header.views import STANDARD_VIEWS

FULL_SIZE = (4096, 3328)
QUICK_SIZE = (1024, 832)
FINDINGS = 8
BOUND_SECONDS = 5.0
BOUND_MEGABYTES = 1000.0
STUDY = uid_of("benchmark", "study")
BUNDLE = BundleIdentity(
    name="benchmark", version="1", sha256="ab" * 32, licence="none", permitted_use="benchmark"
)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="The median is shown.")] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small images, one round; figures mean nothing.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Build the objects of four views with eight findings each, for each built-in profile.

    As in a worker, each image is drawn when it is decoded, and each object is written to a file
    when it is made, and neither is held after that. Processor time is that of drawing and building
    alone, which a busy machine does not change. Memory is that of the whole process: libraries,
    one decoded image at a time, objects.

    Example: python benchmarks/objects.py --json objects.json
    """
    size = QUICK_SIZE if quick else FULL_SIZE
    conditions = {**machine(), "rounds": 1 if quick else rounds, "rows_columns": list(size)}
    rows = []
    for profile in ("ohif", "workstation", "pacs", "all"):
        spent = [seconds(size, profile) for _ in range(1 if quick else rounds)]
        rows.append(bounded(f"{profile}, processor time", "s", median(spent), BOUND_SECONDS))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(bounded("peak memory", "MB", peak, BOUND_MEGABYTES))
    report = Report(benchmark="objects", rows=rows, conditions=conditions)
    show([report])
    if json is not None:
        report.write(json)


def bounded(measure: str, unit: str, ours: float, bound: float) -> Row:
    """Hold a figure against the bound that it has to stay below."""
    return Row(
        measure=measure, unit=unit, ours=ours, against="bound", theirs=bound, ratio=ours / bound
    )


def median(values: list[float]) -> float:
    """Return the middle of the values."""
    return float(np.median(values))


def seconds(size: tuple[int, int], profile: str) -> float:
    """Return the processor time, of all threads, that the objects of one profile take."""
    identity = ResultIdentity(
        bundle=BUNDLE,
        warning="",
        software_version="benchmark",
        revision=1,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    headers, analysis = study_of(size)
    sources, spent = [], 0.0
    for header in headers:
        decoded = SourceInstance(dataset=header, pixels=pixels_of(size))
        before = time.process_time()
        picture = decoded.shown(1, DEFAULT_OPTIONS.picture_long_side)
        spent += time.process_time() - before
        sources.append(SourceInstance(dataset=header, pixels=partial(handed_out, [picture])))
        del decoded, picture
    before = time.process_time()
    for result in stream_results(sources, analysis, identity, profiles=(PROFILES[profile],)):
        spent += time.process_time() - before
        with tempfile.TemporaryFile() as file:
            write_object(result.dataset, file)
        del result
        before = time.process_time()
    return spent + time.process_time() - before


def handed_out(kept: list[DisplayPicture], _: int) -> DisplayPicture:
    """Return the one frame of an image that was drawn already, and drop it here."""
    return kept.pop()


def study_of(size: tuple[int, int]) -> tuple[list[Dataset], StudyAnalysis]:
    """Return four views whose regions lie across each other, with a heatmap for each finding."""
    headers, images, heatmaps = [], [], []
    for laterality, view in STANDARD_VIEWS:
        header = header_of(laterality, view, size)
        uid = str(header.SOPInstanceUID)
        headers.append(header)
        findings = tuple(finding_of(number, size) for number in range(FINDINGS))
        images.append(
            ImageFindings(
                sop_instance_uid=uid,
                laterality=laterality,
                view_position=view,
                status=ImageStatus.ANALYSED,
                findings=findings,
            )
        )
        heatmaps += [heatmap_of(uid, finding, size) for finding in findings]
    findings = StudyFindings(
        study_instance_uid=STUDY, bundle=BUNDLE, settings_sha256="cd" * 32, images=tuple(images)
    )
    return headers, StudyAnalysis(findings=findings, heatmaps=tuple(heatmaps))


def header_of(laterality: str, view: str, size: tuple[int, int]) -> Dataset:
    """Return the header of a mammogram For Presentation."""
    header = Dataset()
    header.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    header.SOPInstanceUID = uid_of("benchmark", laterality, view)
    header.StudyInstanceUID, header.SeriesInstanceUID = STUDY, uid_of("benchmark", "series")
    header.PatientName, header.PatientID = "Benchmark", "1"
    header.Modality, header.ImageLaterality, header.ViewPosition = "MG", laterality, view
    header.PatientOrientation = ["A", "FR"] if laterality == "L" else ["P", "FL"]
    header.Rows, header.Columns = size
    header.PhotometricInterpretation = "MONOCHROME2"
    header.WindowCenter, header.WindowWidth = 2048, 4096
    return header


def pixels_of(size: tuple[int, int]) -> NDArray[np.uint16]:
    """Return 12-bit noise: nothing in it is the same twice, as in a real mammogram."""
    return np.random.default_rng(0).integers(0, 4096, size, dtype=np.uint16)


def finding_of(number: int, size: tuple[int, int]) -> Finding:
    """Return a finding with an elliptic region of about a centimetre."""
    rows, columns = size
    center = (columns // 4 + number * columns // 24, rows // 4 + number * rows // 16)
    axes = (columns // 28 + number, rows // 45 + number)
    points = cv2.ellipse2Poly(center, axes, 20 * number, 0, 359, 1)
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    return Finding(
        name=f"finding_{number}",
        code="SCT|4147007|Mass",
        score=0.9,
        calibrated=False,
        above_threshold=True,
        source=FindingSource.PROMPT,
        method=LocalisationMethod.FACTOR,
        regions=(
            Region(
                outline=tuple((float(x), float(y)) for x, y in points),
                box=(float(left), float(top), float(right), float(bottom)),
                area_pixels=round(float(np.pi) * axes[0] * axes[1]),
                peak=(float(center[0]), float(center[1])),
                activation=0.9,
            ),
        ),
    )


def heatmap_of(uid: str, finding: Finding, size: tuple[int, int]) -> Heatmap:
    """Return a heatmap on a coarse grid over the whole image, with its peak in the region."""
    rows, columns = size
    column, row = finding.regions[0].peak
    x = (np.arange(29) + 0.5) * columns / 29 - column
    y = (np.arange(48) + 0.5) * rows / 48 - row
    squared = x[np.newaxis, :] ** 2 + y[:, np.newaxis] ** 2
    return Heatmap(
        sop_instance_uid=uid,
        frame=1,
        finding=finding.name,
        values=np.exp(-squared / (2.0 * (columns / 10) ** 2)).astype(np.float32),
        extent=(0.0, 0.0, float(columns), float(rows)),
    )


if __name__ == "__main__":
    typer.run(main)
