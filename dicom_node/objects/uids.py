"""UIDs that follow from what they name, never from chance."""

import uuid
from dataclasses import dataclass
from typing import Final, Self

from dicom_node.facts.result_kinds import ResultKind
from mammoclip_core.findings import Finding, StudyFindings
from mammoclip_core.region_place import place_of

NAMESPACE: Final = uuid.UUID("6f0b7f0e-5f5b-5d0c-9f4e-2f2a9d1c7a31")
"""Namespace of all UIDs of this project; a change would double every result in every archive."""


def uid_of(*parts: str) -> str:
    """Derive a UID from texts: equal texts give the same UID, in any process on any machine.

    References
    ----------
    PS3.5 B.2: UUID derived UIDs under the root ``2.25``.
    """
    return f"2.25.{uuid.uuid5(NAMESPACE, chr(10).join(parts)).int}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyUIDs:
    """The UIDs that builders write, of one study and one model.

    Those of instances and series are provisional: they tell the objects of a study apart while
    these are built. An object gets the UIDs under which it is sent when its content is known, by
    `dicom_node.objects.naming`.
    """

    study_instance_uid: str
    weights_sha256: str

    @classmethod
    def of(cls, findings: StudyFindings) -> Self:
        """Return the UIDs of the objects of one answer."""
        return cls(
            study_instance_uid=findings.study_instance_uid, weights_sha256=findings.bundle.sha256
        )

    def sop_instance_uid(self, kind: ResultKind, source: str = "") -> str:
        """Name an object provisionally.

        Parameters
        ----------
        source : SOP Instance UID of the one image that the object is for, or what sets it apart
        """
        return uid_of("instance", self.study_instance_uid, kind, source)

    def series_instance_uid(self, kind: ResultKind, variant: str = "") -> str:
        """Name a series provisionally: the same in every revision.

        Parameters
        ----------
        variant : what tells it from another series of the same kind; may be empty
        """
        return uid_of("series", self.study_instance_uid, kind, *filter(None, [variant]))

    def tracking_uid(self, source: str, finding: Finding, region: int | None = None) -> str:
        """Name what is tracked: the same in all objects and all revisions.

        A region is known by its image, its finding, the model, and its peak: it is the same one
        where a threshold was changed or an image of another view came late.

        Parameters
        ----------
        source : what tells an image from all others, or the laterality for a finding of a breast
        region : 0 or more
            Index among the finding's regions; None for the finding as a whole.
        """
        place = "" if region is None else place_of(finding, region).key
        return uid_of(
            "tracking", self.study_instance_uid, self.weights_sha256, source, finding.name, place
        )

    def dimension_organization_uid(self, source: str) -> str:
        """Name the dimension organization of a segmentation."""
        return uid_of("dimensions", self.study_instance_uid, source)
