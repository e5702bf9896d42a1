"""The coded concepts of all result objects: here and nowhere else."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from highdicom.sr import CodedConcept
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag

from dicom_node.objects.terms.wording import to_ascii, words_of
from mammoclip_core.findings import Finding, LocalisationMethod, Region
from mammoclip_core.lesion_location import Depth

LANGUAGE: Final = Code("en-US", "RFC5646", "English (United States)")
LANGUAGE_OF_CONTENT: Final = codes.DCM.LanguageOfContentItemAndDescendants
PROCEDURE_REPORTED: Final = codes.DCM.ProcedureReported
PROCEDURE: Final = codes.cid100.ImagingProcedure
"""Procedure reported: CID 100 has no mammography, and validators refuse what it does not have."""

BREAST: Final = codes.SCT.Breast
LESION: Final[Code] = codes.SCT.Lesion
ABNORMAL_STRUCTURE: Final = codes.SCT.MorphologicallyAbnormalStructure
SOURCE: Final = Code("260753009", "SCT", "Source")
ARTIFICIAL_INTELLIGENCE: Final = codes.DCM.ArtificialIntelligence
ALGORITHM_FAMILY: Final = codes.DCM.AlgorithmFamily
PERCENT: Final = codes.UCUM.Percent
MILLIMETER: Final = Code("mm", "UCUM", "millimeter")
PIXELS: Final = Code("{pixels}", "UCUM", "Pixels")

OBSERVER_TYPE: Final = codes.DCM.ObserverType
DEVICE: Final = codes.DCM.Device
DEVICE_OBSERVER_UID: Final = codes.DCM.DeviceObserverUID
DEVICE_OBSERVER_NAME: Final = codes.DCM.DeviceObserverName
DEVICE_OBSERVER_MANUFACTURER: Final = codes.DCM.DeviceObserverManufacturer
DEVICE_OBSERVER_MODEL_NAME: Final = codes.DCM.DeviceObserverModelName
DEVICE_OBSERVER_SERIAL_NUMBER: Final = codes.DCM.DeviceObserverSerialNumber

IMAGE_LIBRARY: Final = codes.DCM.ImageLibrary
IMAGE_LIBRARY_GROUP: Final = codes.DCM.ImageLibraryGroup
MODALITY: Final = codes.DCM.Modality
IMAGE_LATERALITY: Final = codes.DCM.ImageLaterality
IMAGE_VIEW: Final = codes.DCM.ImageView
IMAGE_VIEW_MODIFIER: Final = codes.DCM.ImageViewModifier
PATIENT_ORIENTATION_ROW: Final = codes.DCM.PatientOrientationRow
PATIENT_ORIENTATION_COLUMN: Final = codes.DCM.PatientOrientationColumn
HORIZONTAL_PIXEL_SPACING: Final = codes.DCM.HorizontalPixelSpacing
VERTICAL_PIXEL_SPACING: Final = codes.DCM.VerticalPixelSpacing
PIXEL_DATA_ROWS: Final = codes.DCM.PixelDataRows
PIXEL_DATA_COLUMNS: Final = codes.DCM.PixelDataColumns

MEASUREMENT_REPORT: Final = codes.DCM.ImagingMeasurementReport
MEASUREMENTS: Final = codes.DCM.ImagingMeasurements
MEASUREMENT_GROUP: Final = codes.DCM.MeasurementGroup
TRACKING_IDENTIFIER: Final = codes.DCM.TrackingIdentifier
TRACKING_UID: Final = codes.DCM.TrackingUniqueIdentifier
ALGORITHM_NAME: Final = codes.DCM.AlgorithmName
ALGORITHM_VERSION: Final = codes.DCM.AlgorithmVersion
ALGORITHM_PARAMETERS: Final = codes.DCM.AlgorithmParameters
FINDING_SITE: Final = codes.SCT.FindingSite
LATERALITY: Final = codes.SCT.Laterality
TOPOGRAPHICAL_MODIFIER: Final = codes.SCT.TopographicalModifier
IMAGE_REGION: Final = codes.DCM.ImageRegion
SOURCE_OF_MEASUREMENT: Final = Code("121112", "DCM", "Source of Measurement")

FINDING: Final = codes.DCM.Finding
CERTAINTY_OF_FINDING: Final[Code] = codes.DCM.CertaintyOfFinding
PROBABILITY_OF_CANCER: Final[Code] = codes.DCM.ProbabilityOfCancer
QUALITATIVE_EVALUATIONS: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")
MEASUREMENT_METHOD: Final = codes.SCT.MeasurementMethod
NARRATIVE_SUMMARY: Final = codes.DCM.NarrativeSummary
COMMENT: Final = codes.DCM.Comment
BREAST_COMPOSITION: Final = codes.SCT.BreastComposition
PROCESSING_SUMMARY: Final = codes.DCM.CADProcessingAndFindingsSummary
SUCCEEDED_WITHOUT_FINDINGS: Final[Code] = codes.DCM.AllAlgorithmsSucceededWithoutFindings
SUCCEEDED_WITH_FINDINGS: Final[Code] = codes.DCM.AllAlgorithmsSucceededWithFindings
PARTLY_SUCCEEDED_WITHOUT_FINDINGS: Final[Code] = codes.DCM.NotAllAlgorithmsSucceededWithoutFindings
PARTLY_SUCCEEDED_WITH_FINDINGS: Final[Code] = codes.DCM.NotAllAlgorithmsSucceededWithFindings
NOT_SUCCEEDED: Final[Code] = codes.DCM.NoAlgorithmsSucceededWithoutFindings

OF_INTEREST: Final = codes.DCM.OfInterest
REJECTED_FOR_PATIENT_SAFETY: Final = Code("113037", "DCM", "Rejected for Patient Safety Reasons")
KEY_OBJECT_DESCRIPTION: Final = codes.DCM.KeyObjectDescription

RENDERING_INTENT: Final[Code] = codes.DCM.RenderingIntent
PRESENTATION_OPTIONAL: Final[Code] = codes.cid6034.PresentationOptionalRenderingDeviceMayPresent

PROCESSING_EQUIPMENT: Final = codes.DCM.ProcessingEquipment
SEGMENTATION: Final = Code("113076", "DCM", "Segmentation")
SOURCE_IMAGE_FOR_PROCESSING: Final[Code] = codes.DCM.SourceImageForImageProcessingOperation
SOURCE_IMAGE_FOR_MONTAGE: Final[Code] = codes.DCM.SourceImageForMontage

LATERALITIES: Final[Mapping[str, Code]] = MappingProxyType(
    {"L": codes.SCT.Left, "R": codes.SCT.Right, "B": codes.SCT.Bilateral}
)
"""CID 244, by the value of Image Laterality."""

VIEWS: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "CC": Code("399162004", "SCT", "cranio-caudal"),
        "MLO": Code("399368009", "SCT", "medio-lateral oblique"),
        "ML": Code("399260004", "SCT", "medial-lateral"),
        "LM": Code("399352003", "SCT", "latero-medial"),
        "LMO": Code("399099002", "SCT", "latero-medial oblique"),
        "FB": Code("399196006", "SCT", "caudo-cranial"),
        "SIO": Code("399188001", "SCT", "superolateral to inferomedial oblique"),
        "ISO": Code("441555000", "SCT", "inferomedial to superolateral oblique"),
        "XCCL": Code("399192008", "SCT", "cranio-caudal exaggerated laterally"),
        "XCCM": Code("399101009", "SCT", "cranio-caudal exaggerated medially"),
    }
)
"""CID 4014, by the value of View Position."""

VIEW_MODIFIERS: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "spot compression": codes.SCT.SpotCompression,
        "magnification": codes.SCT.Magnification,
        "implant displaced": codes.SCT.ImplantDisplaced,
        "axillary tail": Code("399011000", "SCT", "Axillary Tail"),
        "cleavage": Code("399161006", "SCT", "Cleavage"),
        "rolled lateral": Code("399197002", "SCT", "Rolled Lateral"),
        "rolled medial": Code("399226006", "SCT", "Rolled Medial"),
        "rolled inferior": Code("414493004", "SCT", "Rolled Inferior"),
        "rolled superior": Code("415670009", "SCT", "Rolled Superior"),
        "tangential": Code("399110001", "SCT", "tangential"),
        "nipple in profile": Code("442581004", "SCT", "Nipple in profile"),
        "anterior compression": Code("441752004", "SCT", "Anterior compression"),
        "infra-mammary fold": Code("442593008", "SCT", "Infra-mammary fold"),
        "axillary tissue": Code("442580003", "SCT", "Axillary tissue"),
    }
)
"""CID 4015, by the words of `mammoclip_core.images.header.views`."""

BREAST_COMPOSITIONS: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "A": codes.SCT.AlmostEntirelyFat,
        "B": codes.SCT.ScatteredFibroglandularDensities,
        "C": codes.SCT.HeterogeneouslyDense,
        "D": codes.SCT.ExtremelyDense,
    }
)
"""CID 6001, by BI-RADS category."""

OWN_SCHEME: Final = "99MAMMOCLIP"
"""Designator of our private coding scheme (PS3.16 8.2)."""

EXAMINATION_SCORE: Final = Code("exam_score", OWN_SCHEME, "Score of the examination")
BREAST_SCORE: Final = Code("breast_score", OWN_SCHEME, "Score of the breast")

LESION_NUMBER: Final = Code("lesion_number", OWN_SCHEME, "Lesion number")
QUADRANT_LOCATION: Final = codes.DCM.QuadrantLocation
DEPTH: Final = codes.DCM.Depth

HALVES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "upper half": Code("261183002", "SCT", "Upper"),
        "lower half": Code("261122009", "SCT", "Lower"),
        "outer half": Code("49370004", "SCT", "Lateral"),
        "inner half": Code("255561001", "SCT", "Medial"),
    }
)
"""CID 2, by the words of a location."""

QUADRANTS: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "upper outer quadrant": codes.cid6020.UpperOuterQuadrantOfBreast,
        "upper inner quadrant": codes.cid6020.UpperInnerQuadrantOfBreast,
        "lower outer quadrant": codes.cid6020.LowerOuterQuadrantOfBreast,
        "lower inner quadrant": codes.cid6020.LowerInnerQuadrantOfBreast,
    }
)
"""CID 6020, by the words of a location."""

DEPTHS: Final[Mapping[Depth, Code]] = MappingProxyType(
    {
        Depth.ANTERIOR: codes.cid6024.Anterior,
        Depth.MIDDLE: codes.cid6024.Middle,
        Depth.POSTERIOR: codes.cid6024.Posterior,
    }
)
"""CID 6024."""

DISEASE_NAMES: Final = frozenset({"malignancy", "cancer"})
"""Findings that name a disease. Their regions are called lesions: no model sees a disease."""


METHODS: Final[Mapping[LocalisationMethod, Code]] = MappingProxyType(
    {
        LocalisationMethod.FACTOR: codes.DCM.VisualExplanation,
        LocalisationMethod.CAM: codes.DCM.ClassActivation,
        LocalisationMethod.GRAD_CAM: codes.DCM.GradientWeightedClassActivation,
    }
)
"""How a region was found, where the standard has a code for it: a detector's box has none."""


def coded(concept: Code) -> Dataset:
    """Return a concept as an item of a code sequence, which no other sequence holds."""
    return Dataset(
        {
            tag: DataElement(tag, vr, value, already_converted=True)
            if isinstance(value, str)
            else DataElement(tag, vr, list(value))
            for tag, vr, value in _elements_of(concept.value, *concept[1:])
        }
    )


@lru_cache(maxsize=1024)
def _elements_of(
    value: str, scheme: str, meaning: str, version: str | None = None
) -> tuple[tuple[BaseTag, str, str | tuple[str, ...]], ...]:
    """Return tag, value representation and value of each element of a coded concept.

    Kept, since a report has the same few concepts a thousand times. The key is not a `Code`: codes
    of other meanings are equal.
    """
    # pydicom's dictionary has zero-width spaces in some meanings, which few character sets hold.
    concept = CodedConcept(value, scheme, meaning.replace("\u200b", ""), version)
    return tuple((element.tag, element.VR, _kept(element.value)) for element in concept)


def _kept(value: str | Sequence[str]) -> str | tuple[str, ...]:
    """Return a value that nobody can change; a text with a backslash is several."""
    return value if isinstance(value, str) else tuple(value)


CALCIFICATION: Final = Code("309587003", "SCT", "Calcification of breast")
COUNTED_CALCIFICATIONS: Final = frozenset({"129769006", "129770007"})
"""A cluster, and a single calcification: attention that lies over calcifications counts none."""

_ATTENTION: Final = frozenset(METHODS)

_DESIGNATOR_LENGTH: Final = 16


def code_of(finding: Finding) -> Code:
    """Return the concept that a finding may honestly be reported under.

    A finding without a code goes by its name, so that two of them are told apart. A value of any
    length is legal: one of more than 16 characters becomes a Long Code Value
    (PS3.3 8.1). What is not ``scheme|value|meaning``, or has a longer designator than the standard
    allows, is a private code of ours, with the whole text as its value.
    """
    if finding.name in DISEASE_NAMES:
        return LESION
    name = to_ascii(finding.name) or words_of(finding.name)
    whole = [to_ascii(part) for part in finding.code.split("|", 2)]
    scheme, value, meaning = whole if len(whole) == 3 else ("", "", "")
    if not (scheme and value) or len(scheme) > _DESIGNATOR_LENGTH:
        scheme, value = OWN_SCHEME, ":".join(filter(None, whole[:2])) or name
    if value in COUNTED_CALCIFICATIONS and finding.method in _ATTENTION:
        return CALCIFICATION
    return Code(value, scheme, to_ascii(meaning or name, 64))


def score_code_of(finding: Finding) -> Code:
    """Return what a score without a place is of: of a disease our own concept, and no lesion."""
    if finding.name not in DISEASE_NAMES:
        return code_of(finding)
    return Code(f"{finding.name}_score", OWN_SCHEME, f"{finding.name.capitalize()} score")


def score_name_of(finding: Finding, region: Region | None = None) -> Code:
    """Return what a score may be called: a probability only where calibration makes it one.

    Parameters
    ----------
    region : of the finding, for its score; None for the finding's own
    """
    scored = finding if region is None else region
    if scored.calibrated and finding.name in DISEASE_NAMES:
        return PROBABILITY_OF_CANCER
    return CERTAINTY_OF_FINDING
