"""What the node keeps of an object's header."""

from dataclasses import dataclass

from dicom_node.facts.identity import PatientDigest
from mammoclip_core.images.image_kind import ImageFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts(ImageFacts):
    """Which object of which study it is, and what it shows: no name, no identifier, no date."""

    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    patient: PatientDigest
