"""What every builder of one analysis is given besides its own image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.examination_scores import ExaminationScores
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.uids import AnalysisUIDs


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultContext:
    """The identity, the UIDs and the colours that the objects of one analysis share.

    Attributes
    ----------
    colors : by the name of the finding
    """

    identity: ResultIdentity
    uids: AnalysisUIDs
    colors: Mapping[str, RGB]
    scores: ExaminationScores = field(default_factory=ExaminationScores)
