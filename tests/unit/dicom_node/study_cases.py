"""The results of each kind of study that the builders meet."""

import math
from collections.abc import Callable
from typing import Any

from objects_factory import (
    NEGATIVE,
    finding,
    heatmap_of,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)

from dicom_node.objects.results import ResultObject
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import BreastFindings, ImageStatus


def _no_finding() -> tuple[ResultObject, ...]:
    dataset = mammogram()
    return results_of((dataset, image_of(dataset, NEGATIVE)))


def _one_finding(**attributes: Any) -> tuple[ResultObject, ...]:
    dataset = mammogram(**attributes)
    return results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))),
        heatmaps=(heatmap_of(dataset, 70.0, 170.0),),
    )


def _many_findings() -> tuple[ResultObject, ...]:
    dataset = mammogram()
    findings = (
        finding(marker_mask(20, 120), marker_mask(90, 200)),
        finding(
            marker_mask(40, 230),
            name="suspicious_calcification",
            code="SCT|129769006|Calcification Cluster",
            score=1 / 3,
        ),
        finding(name="malignancy", code="SCT|1|Malignant", score=0.7, calibrated=True),
    )
    breast = BreastFindings(laterality="L", findings=(finding(), NEGATIVE), density="C")
    return results_of((dataset, image_of(dataset, *findings)), breasts=(breast,))


def _four_views() -> tuple[ResultObject, ...]:
    datasets = [mammogram(view, side) for view in ("CC", "MLO") for side in ("L", "R")]
    return results_of(
        *((dataset, image_of(dataset, finding(marker_mask(130, 150)))) for dataset in datasets)
    )


def _failed_image() -> tuple[ResultObject, ...]:
    good, bad = mammogram("CC"), mammogram("MLO")
    failure = image_of(bad, status=ImageStatus.FAILED, reason="the pixel data are cut off – 3 of 4")
    return results_of((good, image_of(good, NEGATIVE)), (bad, failure))


def _left_out_image() -> tuple[ResultObject, ...]:
    good = mammogram("CC")
    capture = mammogram("MLO", Modality="OT", SOPInstanceUID=uid_of("test", "left out"))
    left_out = image_of(capture, status=ImageStatus.LEFT_OUT, reason="not a mammogram")
    return results_of((good, image_of(good, finding(marker_mask(60, 150)))), (capture, left_out))


CASES: dict[str, Callable[[], tuple[ResultObject, ...]]] = {
    "no finding": _no_finding,
    "one finding": _one_finding,
    "many findings": _many_findings,
    "four views": _four_views,
    "failed image": _failed_image,
    "left-out image": _left_out_image,
    "MONOCHROME1": lambda: _one_finding(photometric="MONOCHROME1"),
    "Japanese name": lambda: _one_finding(
        name="Yamada^Hanako=山田^花子=やまだ^はなこ", charset=["", "ISO 2022 IR 87"]
    ),
    "Chinese name": lambda: _one_finding(name="Wang^XiaoDong=王^小东", charset="GB18030"),
    "Cyrillic name": lambda: _one_finding(name="Иванова^Анна", charset="ISO_IR 144"),
    "Latin-1 name": lambda: _one_finding(name="Müller^Åsa", charset="ISO_IR 100"),
    "name without character set": lambda: _one_finding(charset=None),
    "empty Type 2 attributes missing": lambda: _one_finding(
        without=(
            *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"),
            *("StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
            *("PatientOrientation", "ImagerPixelSpacing", "LossyImageCompression"),
        )
    ),
    "lossy source": lambda: _one_finding(
        LossyImageCompression="01",
        LossyImageCompressionRatio=11.5,
        LossyImageCompressionMethod="ISO_10918_1",
    ),
    "unknown view": lambda: _one_finding(laterality="", view=""),
    "spacing in the patient": lambda: _one_finding(PixelSpacing=[math.pi / 30, math.pi / 30]),
}
"""Each kind of study that the builders meet, for the tests that have to hold for all of them."""
