"""What an examination lacks of the four standard views, in words, and what that means."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.objects.terms.wording import (
    shortfall_text,
    side_and_view_of,
    side_of,
    to_ascii,
    view_of,
)
from mammoclip_core.findings import ImageStatus, StudyFindings
from mammoclip_core.images.header.views import STANDARD_VIEWS, view_modifiers_of

_BREASTS: Final = ("R", "L")
_VIEWS: Final = ("CC", "MLO")
_IMPLANT: Final = "implant displaced"


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
        *_implants(findings, sources),
        *_unused(findings),
    )


def _breasts(findings: StudyFindings) -> Iterator[str]:
    for side in _BREASTS:
        seen = {image.view_position for image in findings.analysed if image.laterality == side}
        name = side_of(side)
        if not seen:
            yield f"No result for the {name} breast: no image of it was analysed."
            continue
        missing = [view for view in _VIEWS if view not in seen]
        if missing:
            rests_on = ", ".join(sorted(filter(None, seen))) or "images of unknown view"
            yield (
                f"The result of the {name} breast rests on {rests_on} alone: "
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
            )


def _repetitions(findings: StudyFindings) -> Iterator[str]:
    taken: dict[str, set[str]] = {}
    for image in findings.analysed:
        if (image.laterality, image.view_position) in STANDARD_VIEWS:
            name = side_and_view_of(replace(image, repetition=1))
            taken.setdefault(name, set()).add(image.sop_instance_uid)
    for name, images in taken.items():
        if len(images) > 1:
            yield (
                f"View {name} was taken {len(images)} times: each image has its own answer, "
                "and the highest score counts for the breast."
            )


def _other_views(findings: StudyFindings) -> Iterator[str]:
    standard = set(STANDARD_VIEWS)
    others = [
        view_of(image)
        for image in findings.analysed
        if image.view_modifiers or (image.laterality, image.view_position) not in standard
    ]
    if others:
        names = ", ".join(sorted(set(others)))
        yield f"Analysed beside the four standard views: {names}."


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
    stated = str(source.get("BreastImplantPresent") or "").strip().upper() == "YES"
    return stated or _IMPLANT in view_modifiers_of(source)


def _unused(findings: StudyFindings) -> Iterator[str]:
    for image in findings.images:
        if image.status is not ImageStatus.ANALYSED:
            yield f"{shortfall_text(image)}."
        elif image.reason:
            yield to_ascii(f"{view_of(image)}: {image.reason}.")
