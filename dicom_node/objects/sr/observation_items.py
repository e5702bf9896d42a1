"""What a report says of any result: by what it was found, on which side, how surely."""

from typing import Final

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary

from dicom_node.facts.own_result import MANUFACTURER, MODEL_NAME
from dicom_node.objects import codes
from dicom_node.objects.context import ResultContext
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.shared_modules import is_multi_frame
from dicom_node.objects.wording import Scored, method_of, score_owner_text, to_ascii, words_of
from mammoclip_core.findings import Finding, ImageFindings, Region, StudyFindings
from mammoclip_core.lesion_location import Location

_NAME_LENGTH: Final = 64


def algorithm_of(
    context: ResultContext,
    findings: StudyFindings,
    finding: Finding | None = None,
    region: Region | None = None,
) -> AlgorithmIdentification:
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
            parameters.append(f"threshold {finding.threshold:.4f}")
        if finding.aggregation:
            how = to_ascii(finding.aggregation, _NAME_LENGTH)
            parameters.append(f"score over a breast or the examination: {how}")
        parameters.append(f"score from {finding.source}, region by {method_of(finding)}")
    if region is not None:
        parameters.append(score_owner_text(region))
    algorithm = AlgorithmIdentification(
        name=to_ascii(bundle.name, _NAME_LENGTH),
        version=to_ascii(bundle.version, _NAME_LENGTH),
        parameters=parameters,
    )
    algorithm.append(
        CodeContentItem(
            codes.ALGORITHM_FAMILY,
            codes.ARTIFICIAL_INTELLIGENCE,
            RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
    )
    return algorithm


def device_observer(identity: ResultIdentity) -> ObservationContext:
    """Name the software with its weights as the observer (TID 1002)."""
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=dictionary.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=identity.device_uid,
                name=MODEL_NAME,
                manufacturer_name=MANUFACTURER,
                model_name=MODEL_NAME,
                serial_number=identity.device_serial_number,
            ),
        )
    )


def site_of(laterality: str, location: Location | None = None) -> FindingSite:
    """Return the breast, with its side and the half of it where they are known."""
    return FindingSite(
        codes.BREAST,
        laterality=codes.LATERALITIES.get(laterality),
        topographical_modifier=None if location is None else codes.HALVES.get(location.part),
    )


def percent_of(scored: Scored) -> float:
    """Return the score as reports write it: 0 to 100, to one decimal."""
    return round(100.0 * scored.score, 1)


def frames_of(source: Dataset, image: ImageFindings) -> list[int] | None:
    """Return the frame that a reference to a multi-frame image has to name."""
    return [image.frame] if is_multi_frame(source) else None
