"""What every builder of one analysis is given besides its own image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.findings.examination_scores import ExaminationScores
from dicom_node.objects.findings.lesions import LesionViews
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.uids import StudyUIDs


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultContext:
    """The identity, the UIDs and the colours that the objects of one analysis share.

    Attributes
    ----------
    identity : with a stand-in for the revision and the time of creation
        An object is given both when it is complete, by `dicom_node.objects.naming`.
    colors : by the name of the finding
    lesions : the views that show each lesion
    """

    identity: ResultIdentity
    uids: StudyUIDs
    colors: Mapping[str, RGB]
    scores: ExaminationScores = field(default_factory=ExaminationScores)
    lesions: LesionViews = field(default_factory=dict)
