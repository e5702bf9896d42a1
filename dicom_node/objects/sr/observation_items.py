"""What a report says of any result: by what it was found, on which side, how surely."""

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.facts.own_result import MANUFACTURER, MODEL_NAME
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.context import ResultContext
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.modules.shared_modules import is_multi_frame
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.scores import threshold_text
from dicom_node.objects.terms.wording import method_of, score_owner_text, to_ascii, words_of
from mammoclip_core.findings import Finding, ImageFindings, Region, StudyFindings
from mammoclip_core.lesion_location import Location

_NAME_LENGTH: Final = 64


def algorithm_of(
    context: ResultContext,
    findings: StudyFindings,
    finding: Finding | None = None,
    region: Region | None = None,
) -> list[Item]:
    """Name the weights (TID 4019), with the settings and how a finding was scored and found."""
    bundle = context.identity.bundle
    parameters = [
        f"weights sha256 {bundle.sha256}",
        f"settings sha256 {findings.settings_sha256}",
    ]
    if findings.engine is not None:
        parameters.append(f"computed by {to_ascii(str(findings.engine), _NAME_LENGTH)}")
    if finding is not None:
        parameters.append(f"finding {words_of(finding.name)}")
        if finding.threshold is not None:
            parameters.append(threshold_text(finding.threshold))
        if finding.aggregation:
            how = to_ascii(finding.aggregation, _NAME_LENGTH)
            parameters.append(f"score over a breast or the examination: {how}")
        parameters.append(f"score from {finding.source}, region by {method_of(finding)}")
    if region is not None:
        parameters.append(score_owner_text(region))
    texts = (
        (codes.ALGORITHM_NAME, to_ascii(bundle.name, _NAME_LENGTH)),
        (codes.ALGORITHM_VERSION, to_ascii(bundle.version, _NAME_LENGTH)),
        *((codes.ALGORITHM_PARAMETERS, parameter) for parameter in parameters),
    )
    return [
        *(content_tree.text(Relationship.HAS_CONCEPT_MOD, *stated) for stated in texts),
        _modifier(codes.ALGORITHM_FAMILY, codes.ARTIFICIAL_INTELLIGENCE),
    ]


def language() -> Item:
    """Return the language of the words of a document (TID 1204)."""
    return _modifier(codes.LANGUAGE_OF_CONTENT, codes.LANGUAGE)


def device_observer(identity: ResultIdentity) -> list[Item]:
    """Name the software with its weights as the observer (TID 1002, 1004)."""
    context = Relationship.HAS_OBS_CONTEXT
    texts = (
        (codes.DEVICE_OBSERVER_NAME, MODEL_NAME),
        (codes.DEVICE_OBSERVER_MANUFACTURER, MANUFACTURER),
        (codes.DEVICE_OBSERVER_MODEL_NAME, MODEL_NAME),
        (codes.DEVICE_OBSERVER_SERIAL_NUMBER, identity.device_serial_number),
    )
    return [
        content_tree.code(context, codes.OBSERVER_TYPE, codes.DEVICE),
        content_tree.uid(context, codes.DEVICE_OBSERVER_UID, identity.device_uid),
        *(content_tree.text(context, *stated) for stated in texts),
    ]


def tracking_of(uid: str, identifier: str) -> list[Item]:
    """Name what is tracked, for people and for software (TID 4108)."""
    context = Relationship.HAS_OBS_CONTEXT
    return [
        content_tree.text(context, codes.TRACKING_IDENTIFIER, identifier),
        content_tree.uid(context, codes.TRACKING_UID, uid),
    ]


def site_of(laterality: str, location: Location | None = None) -> Item:
    """Return the breast, with its side and the half of it where they are known."""
    side = codes.LATERALITIES.get(laterality)
    half = None if location is None else codes.HALVES.get(location.part)
    stated = ((codes.LATERALITY, side), (codes.TOPOGRAPHICAL_MODIFIER, half))
    return _modifier(
        codes.FINDING_SITE,
        codes.BREAST,
        [_modifier(concept, value) for concept, value in stated if value is not None],
    )


def image_of(
    relationship: Relationship, concept: Code, source: Dataset, frames: Sequence[int] = ()
) -> Item:
    """Return a reference to an image for a purpose.

    Parameters
    ----------
    frames : 1 or more each; none where the image has a single one
    """
    return content_tree.image(
        relationship,
        str(source.SOPClassUID),
        str(source.SOPInstanceUID),
        frames,
        concept=concept,
    )


def frames_of(source: Dataset, image: ImageFindings) -> list[int]:
    """Return the frame that a reference to a multi-frame image has to name; else none."""
    return [image.frame] if is_multi_frame(source) else []


def _modifier(concept: Code, value: Code, children: Sequence[Item] = ()) -> Item:
    return content_tree.code(Relationship.HAS_CONCEPT_MOD, concept, value, children)
