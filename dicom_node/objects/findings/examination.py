"""What an examination lacks of the four standard views, in words, and what that means."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.objects.elements.legal_values import legal_value
from dicom_node.objects.terms.wording import (
    shortfall_text,
    side_and_view_of,
    side_of,
    to_ascii,
    view_of,
)
from mammoclip_core.findings import ImageFindings, ImageStatus, StudyFindings
from mammoclip_core.images.header.views import STANDARD_VIEWS, view_modifiers_of

_BREASTS: Final = ("R", "L")
_VIEWS: Final = ("CC", "MLO")
_IMPLANT: Final = "implant displaced"
_RULE_LENGTH: Final = 64
_DAY_LENGTH: Final = 8

_ONE_NIGHT: Final = timedelta(days=1)


def examination_remarks(findings: StudyFindings, sources: Mapping[str, Dataset]) -> tuple[str, ...]:
    """Say for which breast a result is given, on which views it rests, and what was not used.

    Parameters
    ----------
    sources : headers by SOP Instance UID, as far as they are known

    Returns
    -------
    tuple of str
        Whole sentences in ASCII; none for a complete examination of four views.
    """
    return (
        *_breasts(findings),
        *_repetitions(findings),
        *_other_views(findings),
        *_other_days(findings, sources),
        *_partial_views(findings, sources),
        *_implants(findings, sources),
        *_unused(findings),
    )


def _breasts(findings: StudyFindings) -> Iterator[str]:
    may_be_of_both = any(image.laterality not in _BREASTS for image in findings.analysed)
    for side in _BREASTS:
        own = [image for image in findings.analysed if image.laterality == side]
        name = side_of(side)
        if not own and may_be_of_both:
            yield (
                f"No result for the {name} breast by itself: "
                "no analysed image is known to show it alone."
            )
            continue
        if not own:
            yield f"No result for the {name} breast: no image of it was analysed."
            continue
        # A spot compression or a displaced implant shows another part of the breast.
        whole = {image.view_position for image in own if not image.view_modifiers}
        missing = [view for view in _VIEWS if view not in whole]
        if missing:
            seen = {_view_without_side(image) for image in own if image.view_position}
            rests_on = " and ".join(sorted(seen)) or "images of unknown view"
            yield (
                f"The result of the {name} breast rests on {rests_on} alone: "
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
            )


def _view_without_side(image: ImageFindings) -> str:
    return " ".join((image.view_position, ", ".join(image.view_modifiers))).rstrip()


def _repetitions(findings: StudyFindings) -> Iterator[str]:
    alike: dict[tuple[str, str], set[str]] = {}
    for image in findings.analysed:
        if (image.laterality, image.view_position) in STANDARD_VIEWS:
            name = side_and_view_of(replace(image, repetition=1))
            alike.setdefault((image.laterality, name), set()).add(image.sop_instance_uid)
    for (side, name), images in alike.items():
        if len(images) > 1:
            # Not "taken": one may have been computed from a tomosynthesis.
            yield (
                f"{len(images)} images of {name} were analysed: each has its own answer"
                f"{_rule_of(findings, side)}."
            )


def _rule_of(findings: StudyFindings, side: str) -> str:
    """Say how a breast is scored by its images, where the answer has one rule for all findings."""
    rules = {
        to_ascii(finding.aggregation, _RULE_LENGTH)
        for breast in findings.breasts
        if breast.laterality == side
        for finding in breast.findings
    }
    rule = rules.pop() if len(rules) == 1 else ""
    return f" (score of the breast: {rule})" if rule else ""


def _other_views(findings: StudyFindings) -> Iterator[str]:
    standard = set(STANDARD_VIEWS)
    others = [
        view_of(image)
        for image in findings.analysed
        if image.view_modifiers or (image.laterality, image.view_position) not in standard
    ]
    if others:
        names = ", ".join(sorted(set(others)))
        yield f"Analysed, but none of the four standard views: {names}."


def _other_days(findings: StudyFindings, sources: Mapping[str, Dataset]) -> Iterator[str]:
    """Name images that were taken long before others: a prior that lies in the same study."""
    days: dict[date, list[str]] = {}
    for image in findings.analysed:
        day = _day_of(sources.get(image.sop_instance_uid, Dataset()))
        if day is not None:
            days.setdefault(day, []).append(view_of(image))
    newest = max(days, default=date.min)
    for day, views in sorted(days.items()):
        if newest - day > _ONE_NIGHT:
            names = ", ".join(dict.fromkeys(views))
            yield (
                f"Taken on {day}, and not on {newest} as others: {names}. "
                "The scores of breast and examination rest on all of them."
            )


def _day_of(source: Dataset) -> date | None:
    """Return the day of acquisition, which two attributes may state; None where neither does."""
    stated = str(source.get("AcquisitionDateTime") or "")[:_DAY_LENGTH]
    day = legal_value("DA", source.get("AcquisitionDate") or "") or legal_value("DA", stated)
    return datetime.strptime(str(day), "%Y%m%d").date() if day else None


def _partial_views(findings: StudyFindings, sources: Mapping[str, Dataset]) -> Iterator[str]:
    partial = [
        view_of(image)
        for image in findings.analysed
        if image.sop_instance_uid in sources
        and _is_stated(sources[image.sop_instance_uid], "PartialView")
    ]
    if partial:
        names = ", ".join(dict.fromkeys(partial))
        yield f"Not the whole breast, as the image says (Partial View): {names}."


def _implants(findings: StudyFindings, sources: Mapping[str, Dataset]) -> Iterator[str]:
    with_implant = [
        view_of(image)
        for image in findings.analysed
        if image.sop_instance_uid in sources and _has_implant(sources[image.sop_instance_uid])
    ]
    if with_implant:
        names = ", ".join(dict.fromkeys(with_implant))
        yield f"Breast implant: the scores of {names} were given all the same and are not tested."


def _has_implant(source: Dataset) -> bool:
    return _is_stated(source, "BreastImplantPresent") or _IMPLANT in view_modifiers_of(source)


def _is_stated(source: Dataset, keyword: str) -> bool:
    return str(source.get(keyword) or "").strip().upper() == "YES"


def _unused(findings: StudyFindings) -> Iterator[str]:
    for image in findings.images:
        if image.status is not ImageStatus.ANALYSED:
            yield f"{shortfall_text(image)}."
        elif image.reason:
            yield to_ascii(f"{view_of(image)}: {image.reason}.")
