"""What is noted of an answer to watch the model by, from the headers and the findings."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.monitoring.notes import AnswerNote
from mammoclip_core.errors import CoreError
from mammoclip_core.findings import Finding, ImageStatus

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from mammoclip_core.findings import StudyAnalysis
    from worker.analyze.study_files import StudyFiles

_LONGEST: Final = 64
_SOFTWARE_LONGEST: Final = 255
_SYNTHETIC: Final = "GENERATED_2D"
_TOMOSYNTHESIS: Final = "1.2.840.10008.5.1.4.1.1.13.1.3"


def header_of(paths: "Iterable[Path]", files: "StudyFiles") -> "Dataset | None":
    """Return the first header of a study that can be read; None if none can."""
    for path in paths:
        try:
            return files.header(path)
        except CoreError:
            continue
    return None


def fingerprint_of(header: "Dataset | None") -> Fingerprint:
    """Return which equipment made an image (PS3.3 C.7.5.1); damaged values count as empty."""
    return Fingerprint(
        manufacturer=_text(header, "Manufacturer"),
        model=_text(header, "ManufacturerModelName"),
        serial=_text(header, "DeviceSerialNumber"),
        software=_text(header, "SoftwareVersions", _SOFTWARE_LONGEST),
    )


def answer_note(
    answer: "StudyAnalysis",
    header: "Dataset | None",
    equipment: Fingerprint,
    *,
    threshold_set: int = 0,
) -> AnswerNote:
    """Return what is noted of an answer.

    Parameters
    ----------
    header : of one of its images
    threshold_set : by whose thresholds it was judged
    """
    findings = answer.findings
    by_image = [one for image in findings.analysed for one in image.findings]
    views: dict[str, dict[str, float]] = {}
    for image in findings.analysed:
        view = f"{image.laterality}-{image.view_position}"
        for one in image.findings:
            known = views.setdefault(one.name, {})
            known[view] = round(max(known.get(view, 0.0), one.score), 6)
    densities = [breast.density for breast in findings.breasts if breast.density]
    return AnswerNote(
        equipment=equipment,
        presentation=_presentation(header),
        age_band=_age_band(_text(header, "PatientAge") or _age(header)),
        implants=_text(header, "BreastImplantPresent").upper() == "YES",
        density=max(densities, default=""),
        answers=findings.settings_sha256,
        threshold_set=threshold_set,
        scores=_scores([*by_image, *findings.study]),
        views=views,
        images=len(findings.analysed),
        left_out=sum(image.status is ImageStatus.FAILED for image in findings.images),
        embedding=answer.embedding,
        pixels=answer.pixels,
    )


def _scores(found: Iterable[Finding]) -> dict[str, tuple[float, bool]]:
    scores: dict[str, tuple[float, bool]] = {}
    # What is said of the study comes last, and counts.
    for one in found:
        score, flagged = scores.get(one.name, (0.0, False))
        scores[one.name] = (
            round(max(score, one.score), 6),
            flagged or one.above_threshold,
        )
    return scores


def _presentation(header: "Dataset | None") -> str:
    if header is None:
        return ""
    if _text(header, "SOPClassUID") == _TOMOSYNTHESIS:
        return "tomosynthesis"
    return "synthetic" if _SYNTHETIC in _text(header, "ImageType").upper() else "2D"


def _age(header: "Dataset | None") -> str:
    """Return the age at the study, as Patient's Age would say it, where that is missing."""
    born, day = _text(header, "PatientBirthDate"), _text(header, "StudyDate")
    if not all(one.isascii() and one.isdigit() and len(one) == 8 for one in (born, day)):
        return ""
    years = int(day[:4]) - int(born[:4]) - (day[4:] < born[4:])
    return f"{years:03}Y" if 0 <= years < 130 else ""


def _age_band(age: str) -> str:
    """Return ten years of Patient's Age (PS3.5 6.2, VR AS), for example ``050Y``."""
    if not age.endswith("Y") or not age[:-1].isascii() or not age[:-1].isdigit():
        return ""
    tens = min(int(age[:-1]), 99) // 10 * 10
    return "90+" if tens == 90 else f"{tens}-{tens + 9}"


def _text(header: "Dataset | None", keyword: str, longest: int = _LONGEST) -> str:
    """Return a value as text, several joined by backslashes: what a scanner writes may be odd."""
    try:
        value = None if header is None else header.get(keyword)
        if value is None:
            return ""
        several = [value] if isinstance(value, str) else value
        parts = [str(one) for one in several] if isinstance(several, Iterable) else [str(several)]
    except Exception:  # noqa: BLE001  a damaged element, read on access; nothing depends on it
        return ""
    text = "\\".join(parts).strip()
    return "".join(one for one in text if one.isprintable())[:longest]
