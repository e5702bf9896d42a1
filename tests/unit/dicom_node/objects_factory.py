"""Factories with defaults: a test names only what matters to it."""

import io
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from dicom_node.objects.cad_sr.cad_report import build_cad_report
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.palette import colors_of
from dicom_node.objects.findings.examination_scores import examination_scores
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.results import ResultObject, build_results
from dicom_node.objects.sources import SourceInstance
from dicom_node.objects.uids import StudyUIDs, uid_of
from mammoclip_core.findings import (
    BreastFindings,
    BundleIdentity,
    EngineIdentity,
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

ROWS, COLUMNS = 400, 300
STUDY_UID = uid_of("test", "study")
MASS = "SCT|4147007|Mass"
BUNDLE = BundleIdentity(
    name="demonstration",
    version="0.1.0",
    sha256="ab" * 32,
    licence="Apache-2.0",
    permitted_use="demonstration use",
)
_VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
_ORIENTATIONS = {"R": ["P", "FL"], "L": ["A", "FR"]}


def mammogram(
    view: str = "MLO",
    laterality: str = "L",
    *,
    photometric: str = "MONOCHROME2",
    name: str = "Test^Mammography",
    charset: str | list[str] | None = "ISO_IR 192",
    size: tuple[int, int] = (ROWS, COLUMNS),
    without: Iterable[str] = (),
    **attributes: Any,
) -> Dataset:
    """Return the header of a valid digital mammogram For Presentation."""
    dataset = Dataset()
    if charset is not None:
        dataset.SpecificCharacterSet = charset
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = uid_of("test", laterality, view)
    dataset.StudyInstanceUID = STUDY_UID
    dataset.SeriesInstanceUID = uid_of("test", "series")
    dataset.StudyDate, dataset.StudyTime = "20260102", "101500"
    dataset.AccessionNumber, dataset.StudyID = "ACC-1", "1"
    dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
    dataset.Manufacturer = "Some scanner"
    dataset.ReferringPhysicianName = ""
    dataset.PatientName, dataset.PatientID = name, "TEST-1"
    dataset.PatientBirthDate, dataset.PatientSex = "19600101", "F"
    dataset.InstanceNumber = 1
    dataset.BodyPartExamined = "BREAST"
    dataset.ImageLaterality, dataset.ViewPosition = laterality, view
    dataset.PatientOrientation = _ORIENTATIONS.get(laterality, ["A", "R"])
    if view in _VIEW_CODES:
        code = Dataset()
        code.CodeValue, code.CodeMeaning = _VIEW_CODES[view]
        code.CodingSchemeDesignator = "SCT"
        code.ViewModifierCodeSequence = []
        dataset.ViewCodeSequence = [code]
    dataset.ImagerPixelSpacing = [0.1, 0.1]
    dataset.Rows, dataset.Columns = size
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = photometric
    dataset.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.LossyImageCompression = "00"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    for keyword in without:
        del dataset[keyword]
    return dataset


def breast_pixels(dataset: Dataset) -> NDArray[np.uint16]:
    """Return stored values: half an ellipse of tissue in air, dark or light as the header says."""
    rows, columns = dataset.Rows, dataset.Columns
    shown = np.zeros((rows, columns), dtype=np.uint16)
    edge = 0 if dataset.get("ImageLaterality") == "L" else columns
    cv2.ellipse(
        shown, (edge, rows // 2), (columns * 3 // 4, rows * 2 // 5), 0, 0, 360, (1500,), cv2.FILLED
    )
    return 4095 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


def marker_mask(
    left: int, top: int, size: tuple[int, int] = (ROWS, COLUMNS), unit: int = 8
) -> NDArray[np.bool_]:
    """Return a letter L as a mask: no flip, turn or swap of axes leaves it as it is."""
    mask = np.zeros(size, dtype=np.bool_)
    mask[top : top + 6 * unit, left : left + 2 * unit] = True
    mask[top + 4 * unit : top + 6 * unit, left : left + 5 * unit] = True
    return mask


def region_of(mask: NDArray[np.bool_], activation: float = 0.9) -> Region:
    """Return the region of a connected mask, its outline through the outer pixels' centres."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = contours[0].reshape(-1, 2) + 0.5
    rows, columns = np.nonzero(mask)
    return Region(
        outline=tuple((float(column), float(row)) for column, row in outline),
        box=(
            float(columns.min()),
            float(rows.min()),
            float(columns.max() + 1),
            float(rows.max() + 1),
        ),
        area_pixels=int(mask.sum()),
        peak=(float(columns[0]) + 0.5, float(rows[0]) + 0.5),
        activation=activation,
    )


def finding(
    *masks: NDArray[np.bool_],
    name: str = "mass",
    code: str = MASS,
    score: float = 0.83,
    calibrated: bool = False,
    above_threshold: bool = True,
) -> Finding:
    """Return a finding with a region for each mask; without any, one above has no place."""
    return Finding(
        name=name,
        code=code,
        score=score,
        calibrated=calibrated,
        above_threshold=above_threshold,
        source=FindingSource.PROMPT,
        method=LocalisationMethod.FACTOR
        if masks or not above_threshold
        else LocalisationMethod.NONE,
        regions=tuple(region_of(mask) for mask in masks),
    )


NEGATIVE = finding(score=0.12, above_threshold=False)


def image_of(
    dataset: Dataset,
    *findings: Finding,
    status: ImageStatus = ImageStatus.ANALYSED,
    reason: str = "",
) -> ImageFindings:
    """Return what was found on an image."""
    return ImageFindings(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        laterality=str(dataset.get("ImageLaterality") or ""),
        view_position=str(dataset.get("ViewPosition") or ""),
        status=status,
        reason=reason,
        findings=findings,
    )


def study_of(*images: ImageFindings, breasts: tuple[BreastFindings, ...] = ()) -> StudyFindings:
    """Return the findings of a study."""
    return StudyFindings(
        study_instance_uid=STUDY_UID,
        bundle=BUNDLE,
        settings_sha256="cd" * 32,
        engine=EngineIdentity(name="openvino", version="2026.4.1", precision="float32"),
        images=images,
        breasts=breasts,
        study=breasts[0].findings if breasts else (),
    )


def identity(revision: int = 1, **changes: Any) -> ResultIdentity:
    """Return the identity of a revision."""
    made = ResultIdentity(
        bundle=BUNDLE,
        warning="UNTRAINED DEMONSTRATION WEIGHTS: scores mean nothing",
        software_version="0.1.0",
        revision=revision,
        created_at=datetime(2026, 1, 2, 12, 30, 15, tzinfo=UTC),
        time_zone=UTC,
    )
    return replace(made, **changes)


def context_of(findings: StudyFindings, revision: int = 1) -> ResultContext:
    """Return the context in which one object of a study is built."""
    return ResultContext(
        identity=identity(revision),
        uids=StudyUIDs.of(findings),
        colors=colors_of(findings.images),
        scores=examination_scores(findings),
    )


def heatmap_of(dataset: Dataset, column: float, row: float, name: str = "mass") -> Heatmap:
    """Return a coarse heatmap with one peak at a point of the source."""
    rows, columns = 50, 38
    extent = (0.0, 0.0, float(dataset.Columns), float(dataset.Rows))
    x = (np.arange(columns) + 0.5) * extent[2] / columns
    y = (np.arange(rows) + 0.5) * extent[3] / rows
    squared = (x[np.newaxis, :] - column) ** 2 + (y[:, np.newaxis] - row) ** 2
    return Heatmap(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        frame=1,
        finding=name,
        values=np.exp(-squared / (2 * 20.0**2)).astype(np.float32),
        extent=extent,
    )


def source_of(dataset: Dataset) -> SourceInstance:
    """Return a source whose pixels are made when they are asked for."""
    return SourceInstance(dataset=dataset, pixels=lambda _: breast_pixels(dataset))


def results_of(
    *pairs: tuple[Dataset, ImageFindings],
    breasts: tuple[BreastFindings, ...] = (),
    heatmaps: tuple[Heatmap, ...] = (),
    **arguments: Any,
) -> tuple[ResultObject, ...]:
    """Build the results of a study of these images."""
    findings = study_of(*(image for _, image in pairs), breasts=breasts)
    return build_results(
        [source_of(dataset) for dataset, _ in pairs],
        StudyAnalysis(findings=findings, heatmaps=heatmaps),
        arguments.pop("identity", identity()),
        **arguments,
    )


def standard_views() -> tuple[tuple[str, str], ...]:
    """Return laterality and view of a screening study, in the order in which it is hung."""
    return (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))


def cad_report_of(
    *pairs: tuple[Dataset, ImageFindings],
    breasts: tuple[BreastFindings, ...] = (),
    **arguments: Any,
) -> Dataset:
    """Build the CAD report of a study of these images."""
    findings = study_of(*(image for _, image in pairs), breasts=breasts)
    sources = {str(dataset.SOPInstanceUID): dataset for dataset, _ in pairs}
    return build_cad_report(sources, findings, context_of(findings), **arguments)


def bytes_of(dataset: Dataset) -> bytes:
    """Return the file that a data set becomes."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
