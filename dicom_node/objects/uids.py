"""UIDs that follow from what was analysed, by what and with which answer, never from chance."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from dicom_node.facts.result_kinds import ResultKind
from mammoclip_core.findings import StudyFindings, digest

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
class AnalysisUIDs:
    """All UIDs that the objects of one analysis need.

    Attributes
    ----------
    analysis : canonical text
        Everything that the answer depends on, and the answer; not the revision.
    """

    study_instance_uid: str
    analysis: str
    revision: int

    @classmethod
    def of(
        cls, findings: StudyFindings, source_sop_instance_uids: Iterable[str], revision: int
    ) -> Self:
        """Derive the UIDs of one analysis.

        Parameters
        ----------
        source_sop_instance_uids : every instance of the study that was offered to the model
        revision : 1 or more
            Enters only the series of segmentations and pictures.
        """
        analysis = (
            findings.study_instance_uid,
            *sorted(source_sop_instance_uids),
            findings.bundle.sha256,
            findings.settings_sha256,
            digest(findings),
        )
        return cls(
            study_instance_uid=findings.study_instance_uid,
            analysis="\n".join(analysis),
            revision=revision,
        )

    def sop_instance_uid(self, kind: ResultKind, source: str = "") -> str:
        """Name an object: the same for an equal answer, another one for a changed answer.

        Parameters
        ----------
        source : SOP Instance UID of the one image that the object is for, or what sets it apart
        """
        return uid_of("instance", self.analysis, kind, source)

    def series_instance_uid(self, kind: ResultKind, variant: str = "") -> str:
        """Name a series: one for all reports of a study, one a revision for the other kinds.

        Parameters
        ----------
        variant : what tells it from another series of the same kind; may be empty
        """
        name = ("series", self.study_instance_uid, kind, *filter(None, [variant]))
        return uid_of(*name) if kind.row.is_report else uid_of(*name, str(self.revision))

    def tracking_uid(self, source: str, finding: str, region: int | None = None) -> str:
        """Name what is tracked: the same in the report and in the segmentation.

        Parameters
        ----------
        source : SOP Instance UID, or the laterality for the findings of a breast
        region : 0 or more
            Index among the finding's regions; None for the finding as a whole.
        """
        return uid_of(
            "tracking", self.analysis, source, finding, "" if region is None else str(region)
        )

    def dimension_organization_uid(self, source: str) -> str:
        """Name the dimension organization of a segmentation."""
        return uid_of("dimensions", self.analysis, source)
