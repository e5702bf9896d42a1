"""The words that results carry, the same in the report, the segmentation and the picture."""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.terms.scores import score_text
from mammoclip_core.findings import (
    Finding,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    ScoreOf,
)
from mammoclip_core.images.header.written_view import MODIFIER_LETTERS
from mammoclip_core.region_place import place_of

RESEARCH_MARK: Final = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
SCORE_REMARK: Final = (
    "A score is a number between 0 and 1 that orders images by how strongly the model reacts. "
    "It is a probability only where it is named a probability."
)
REGION_REMARK: Final = (
    "A region shows where the model looked. It is not the border of a lesion and measures nothing."
)
SHARED_SCORE_REMARK: Final = (
    "A region of attention has no score of its own: what stands with it is its finding's."
)

_UNWRITTEN_WARNING: Final = (
    "The model has a warning that cannot be written in ASCII letters: see its documents."
)

_NAME_LENGTH: Final = 40
_NAME_START: Final = 0.55
_LEFT_OUT: Final = " ... "

_METHODS: Final = {
    LocalisationMethod.FACTOR: "Mammo-FActOR",
    LocalisationMethod.GRAD_CAM: "gradient-weighted class activation",
    LocalisationMethod.CAM: "class activation",
    LocalisationMethod.BOX: "detector box",
    LocalisationMethod.NONE: "none",
}

_SIDES: Final = {"L": "left", "R": "right", "B": "both breasts"}


def to_ascii(text: str, limit: int | None = None) -> str:
    """Reduce our own text to ASCII, which every Specific Character Set of a source can hold.

    Parameters
    ----------
    limit : characters, or None for no limit
        What is longer ends in ``...``.
    """
    plain = unicodedata.normalize("NFKD", text.replace("–", "-").replace("—", "-"))
    plain = plain.replace("\\", "/").encode("ascii", "ignore").decode("ascii")
    plain = " ".join(plain.split())
    if not plain.isprintable():  # control characters of a document of another program
        plain = "".join(filter(str.isprintable, plain))
    if limit is not None and len(plain) > limit:
        return plain[: limit - 3] + "..."
    return plain


def in_ascii(identity: ResultIdentity) -> ResultIdentity:
    """Return an identity whose words every object can hold, none of them empty.

    Names that must be there get a stand-in, and a warning that is lost for the most part in ASCII
    is told of: whoever wrote it, its objects are warned.
    """
    bundle, warning = identity.bundle, to_ascii(identity.warning)
    if len(warning) < len(identity.warning.strip()) / 2:
        warning = f"{_UNWRITTEN_WARNING} {warning}".strip()
    return replace(
        identity,
        warning=warning,
        bundle=replace(
            bundle,
            name=to_ascii(bundle.name) or "model without an ASCII name",
            version=to_ascii(bundle.version) or "unknown version",
            licence=to_ascii(bundle.licence) or "not stated",
            permitted_use=to_ascii(bundle.permitted_use) or "not stated",
        ),
    )


def words_of(name: str, limit: int = _NAME_LENGTH) -> str:
    """Return the name of a finding for the eye: ``suspicious_calcification`` without its bar.

    Of a long one both ends are kept: what tells it from others stands more often at its end.

    Parameters
    ----------
    limit : characters, where there is less room than for most names
    """
    words = to_ascii(name.replace("_", " "))
    if not words:
        digits = _digits_of(name)
        words = f"finding without an ASCII name ({digits})"
        return words if len(words) <= limit or limit >= _NAME_LENGTH else f"finding {digits}"
    limit = min(limit, _NAME_LENGTH)
    if len(words) <= limit:
        return words
    start = round(_NAME_START * limit)
    end = limit - start - len(_LEFT_OUT)
    return f"{words[:start].rstrip()}{_LEFT_OUT}{words[-end:].lstrip()}"


def score_owner_text(region: Region) -> str:
    """Say whether a region's score is its own, and on which side of the threshold it lies."""
    if region.score_of is ScoreOf.FINDING:
        return "score of the finding: the region has none of its own"
    side = "above" if region.above_threshold else "below"
    return f"score of this region alone, {side} the threshold"


def summary_of(findings: tuple[Finding, ...]) -> str:
    """List findings with their scores and their side of the threshold, in one line."""
    highest: dict[str, float] = {}
    for finding in findings:
        highest[finding.class_of] = max(highest.get(finding.class_of, 0.0), finding.score)
    return "; ".join(
        f"{words_of(finding.name)} {score_text(finding)} "
        f"({_standing_of(finding, highest[finding.class_of])})"
        for finding in findings
    )


def _standing_of(finding: Finding, highest: float) -> str:
    if not finding.class_of:
        return "above threshold" if finding.above_threshold else "below threshold"
    if finding.score < highest:
        return "not the highest of its classes"
    return "highest of its classes" + ("" if finding.above_threshold else ", no finding")


def method_of(finding: Finding) -> str:
    """Name the method that found the regions of a finding."""
    return _METHODS[finding.method]


def methods_text(findings: Iterable[Finding]) -> str:
    """Name the methods behind the regions of some findings; empty if there is no region."""
    names = dict.fromkeys(method_of(finding) for finding in findings if finding.regions)
    return f"Regions by {', '.join(names)}" if names else ""


def side_of(laterality: str) -> str:
    """Return the side in a word, or that it is unknown."""
    return _SIDES.get(laterality, "unknown side")


def breast_of(laterality: str) -> str:
    """Return which breast it is, for example ``left breast``."""
    side = side_of(laterality)
    return f"{side} breast" if laterality in {"L", "R"} else side


def side_and_view_of(image: ImageFindings) -> str:
    """Return laterality and view with its modifiers: no two images of a study share the words.

    For example ``L MLO``, ``L CC implant displaced``, and ``L CC (2)`` for one taken again. What
    is not known is said: ``CC of unknown side``.
    """
    side, view = image.laterality, image.view_position or "unknown view"
    named = " ".join(filter(None, (side, view, "" if side else "of unknown side")))
    return _view_with(named, image, ", ".join(image.view_modifiers))


def short_view_of(image: ImageFindings, limit: int | None = None) -> str:
    """Return side and view with the letters of its modifiers, for example ``L CC ID``.

    Parameters
    ----------
    limit : characters; of a longer name the number at its end stays
    """
    letters = (MODIFIER_LETTERS.get(words, words) for words in image.view_modifiers)
    view = " ".join(filter(None, (image.laterality, image.view_position))) or "unknown view"
    return _view_with(view, image, " ".join(letters), limit)


def _view_with(view: str, image: ImageFindings, modifiers: str, limit: int | None = None) -> str:
    number = "" if image.repetition == 1 else f" ({image.repetition})"
    words = " ".join(filter(None, (view, modifiers)))
    return to_ascii(words, None if limit is None else limit - len(number)) + number


def view_of(image: ImageFindings) -> str:
    """Return side and view, and of a multi-frame image every frame but the first."""
    view = side_and_view_of(image)
    return view if image.frame == 1 else f"{view} frame {image.frame}"


def tracking_id_of(image: ImageFindings, finding: Finding, region: int | None = None) -> str:
    """Name what is tracked for people, the same in all objects, unlike all else in the study.

    A region is named by what its Tracking UID follows from: its place among others may change.

    Parameters
    ----------
    region : 0 or more
        Index among the finding's regions; None for the finding as a whole.
    """
    name = f"{view_of(image)} {tracked_name_of(finding)}"
    if region is None:
        return name
    place = place_of(finding, region)
    again = f" ({place.repetition})" if place.repetition > 1 else ""
    return f"{name} at column {place.column}, row {place.row}{again}"


def tracked_name_of(finding: Finding) -> str:
    """Return the name of a finding as no other has it: words that others may share get digits."""
    words = words_of(finding.name)
    if words.replace(" ", "_") == finding.name:
        return words
    return f"{words} #{_digits_of(finding.name)}"


def _digits_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def weights_text(identity: ResultIdentity) -> str:
    """Name the weights and what they may be used for."""
    bundle = identity.bundle
    return to_ascii(
        f"Weights {bundle.name} {bundle.version}, licence {bundle.licence}, "
        f"permitted use: {bundle.permitted_use}."
    )


def shortfall_text(image: ImageFindings) -> str:
    """Say which image has no answer, and why."""
    fate = "failed" if image.status is ImageStatus.FAILED else "left out"
    return to_ascii(
        f"Image {fate}: {view_of(image)}, SOP Instance UID {image.sop_instance_uid}: {image.reason}"
    )
