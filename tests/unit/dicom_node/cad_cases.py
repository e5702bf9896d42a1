"""The CAD report of each kind of study that its builder meets."""

from collections.abc import Callable
from typing import Any

from objects_factory import (
    NEGATIVE,
    cad_report_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    standard_views,
)
from pydicom.dataset import Dataset

from dicom_node.objects.cad_sr.options import CadOptions, CompositionForm, PlainMark
from dicom_node.objects.cad_sr.snomed_rt import CodingScheme
from mammoclip_core.findings import BreastFindings, Finding, ImageStatus


def _cad_of(*findings: Finding, options: CadOptions | None = None, **attributes: Any) -> Dataset:
    dataset = mammogram(**attributes)
    breast = BreastFindings(laterality="L", findings=(NEGATIVE,), density="B")
    chosen = {} if options is None else {"options": options, "breasts": (breast,)}
    return cad_report_of((dataset, image_of(dataset, *findings)), **chosen)


def _cad_four_views(*, failed: bool = False) -> Dataset:
    pairs = []
    for side, view in standard_views():
        dataset = mammogram(view, side, ContentDate="20260102", ContentTime="101501.5")
        image = image_of(dataset, finding(marker_mask(130, 150)), NEGATIVE)
        if failed and (side, view) == ("L", "MLO"):
            image = image_of(dataset, status=ImageStatus.FAILED, reason="no pixels")
        pairs.append((dataset, image))
    return cad_report_of(*pairs)


def _cad_breast_score() -> Dataset:
    dataset = mammogram()
    cancer = finding(name="malignancy", code="SCT|21594007|Malignant", score=0.71)
    breast = BreastFindings(laterality="L", findings=(cancer,))
    return cad_report_of((dataset, image_of(dataset)), breasts=(breast,))


def _cad_all_failed() -> Dataset:
    dataset = mammogram()
    failure = image_of(dataset, status=ImageStatus.FAILED, reason="no pixels")
    return cad_report_of((dataset, failure))


_OPTIONAL = finding(marker_mask(60, 150), score=0.4, above_threshold=False)
_DISEASE = finding(
    marker_mask(60, 150), name="malignancy", code="SCT|21594007|Malignant", calibrated=True
)

CAD_CASES: dict[str, Callable[[], Dataset]] = {
    "no finding": lambda: _cad_of(NEGATIVE),
    "one finding": lambda: _cad_of(finding(marker_mask(60, 150))),
    "four views": _cad_four_views,
    "failed image": lambda: _cad_four_views(failed=True),
    "all images failed": _cad_all_failed,
    "optional mark": lambda: _cad_of(_OPTIONAL, _DISEASE),
    "finding without a place": lambda: _cad_of(finding()),
    "score of a breast": _cad_breast_score,
    "selected region": lambda: _cad_of(
        _DISEASE, options=CadOptions(plain_mark=PlainMark.SELECTED_REGION)
    ),
    "density in words": lambda: _cad_of(NEGATIVE, options=CadOptions()),
    "density coded": lambda: _cad_of(
        finding(marker_mask(60, 150)), options=CadOptions(composition=CompositionForm.CODED)
    ),
    "older codes": lambda: _cad_of(_DISEASE, options=CadOptions(coding=CodingScheme.SRT)),
    "Japanese name": lambda: _cad_of(
        _DISEASE, name="Yamada^Hanako=山田^花子=やまだ^はなこ", charset=["", "ISO 2022 IR 87"]
    ),
    "Cyrillic name": lambda: _cad_of(_DISEASE, name="Иванова^Анна", charset="ISO_IR 144"),
    "unknown view": lambda: _cad_of(_DISEASE, laterality="", view=""),
    "almost empty header": lambda: _cad_of(
        _DISEASE,
        without=(
            *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"),
            *("StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
            *("PatientOrientation", "ImagerPixelSpacing", "LossyImageCompression"),
        ),
    ),
}
"""Each kind of study that CAD reports are made of."""
