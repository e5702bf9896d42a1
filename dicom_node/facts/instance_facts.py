"""The facts of an object's header that the node stores."""

from dataclasses import dataclass

from dicom_node.facts.identifiers import Identifiers
from dicom_node.facts.identity import PatientDigest
from mammoclip_core.images.header.image_kind import ImageFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts(ImageFacts):
    """UIDs, view and kind of an image; of the patient a digest, and what the index keeps.

    Attributes
    ----------
    priority : 0 off-peak, 1 routine, 2 stat
        None if neither the image nor the settings for its sender state one.
    identifiers : None if they are not to be kept
    is_prior : of a former examination, fetched for comparison
    rejection : code by which a rejection note rejects images; empty for everything else
    rejected : SOP Instance UIDs of these images
    """

    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    patient: PatientDigest
    priority: int | None = None
    identifiers: Identifiers | None = None
    is_prior: bool = False
    rejection: str = ""
    rejected: tuple[str, ...] = ()
