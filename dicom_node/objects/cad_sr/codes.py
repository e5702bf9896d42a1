"""The coded concepts that only the mammography CAD report has."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from dicom_node.objects.terms import codes

CAD_REPORT: Final = dictionary.DCM.MammographyCADReport
STUDY_DATE: Final = dictionary.DCM.StudyDate
STUDY_TIME: Final = dictionary.DCM.StudyTime
CONTENT_DATE: Final = dictionary.DCM.ContentDate
CONTENT_TIME: Final = dictionary.DCM.ContentTime

IMPRESSION_DESCRIPTION: Final = dictionary.DCM.ImpressionDescription
CERTAINTY_OF_IMPRESSION: Final = Code("111013", "DCM", "Certainty of impression")
INDIVIDUAL_IMPRESSION: Final = dictionary.DCM.IndividualImpressionRecommendation
SINGLE_IMAGE_FINDING: Final = dictionary.DCM.SingleImageFinding
COMPOSITE_FEATURE: Final = dictionary.DCM.CompositeFeature
# These two in the spelling of TID 4005 and CID 6035, which DicomSRValidator compares.
COMPOSITE_TYPE: Final = Code("111016", "DCM", "Composite Type")
RELATED_SPATIALLY: Final = Code("111154", "DCM", "Target content items are related spatially")
SCOPE_OF_FEATURE: Final = dictionary.DCM.ScopeOfFeature
ON_MULTIPLE_IMAGES: Final[Code] = dictionary.cid6036.FeatureDetectedOnMultipleImages
BREAST_MASS: Final = Code("129788004", "SCT", "Mammographic breast mass")
"""A mass over several images (CID 6016); on one of them it is a density."""

CENTER: Final = dictionary.DCM.Center
OUTLINE: Final = dictionary.DCM.Outline
SELECTED_REGION_DESCRIPTION: Final = dictionary.DCM.SelectedRegionDescription
OPERATING_POINT: Final = dictionary.DCM.CADOperatingPoint
MAXIMUM_OPERATING_POINT: Final = dictionary.DCM.MaximumCADOperatingPoint

SUMMARY_OF_DETECTIONS: Final = dictionary.DCM.SummaryOfDetections
SUCCESSFUL_DETECTIONS: Final = dictionary.DCM.SuccessfulDetections
FAILED_DETECTIONS: Final = dictionary.DCM.FailedDetections
DETECTION_PERFORMED: Final = dictionary.DCM.DetectionPerformed
SUMMARY_OF_ANALYSES: Final = dictionary.DCM.SummaryOfAnalyses
SUCCESSFUL_ANALYSES: Final = dictionary.DCM.SuccessfulAnalyses
FAILED_ANALYSES: Final = dictionary.DCM.FailedAnalyses
ANALYSIS_PERFORMED: Final = dictionary.DCM.AnalysisPerformed

SUCCEEDED: Final[Code] = dictionary.cid6042.Succeeded
PARTIALLY_SUCCEEDED: Final[Code] = dictionary.cid6042.PartiallySucceeded
FAILED: Final[Code] = dictionary.cid6042.Failed
NOT_ATTEMPTED: Final = dictionary.cid6042.NotAttempted

PRESENTATION_REQUIRED: Final = (
    dictionary.cid6034.PresentationRequiredRenderingDeviceIsExpectedToPresent
)

BREAST_DENSITY_MARK: Final[Code] = dictionary.cid6014.MammographyBreastDensity
SELECTED_REGION: Final[Code] = dictionary.cid6014.SelectedRegion
BREAST_COMPOSITION_ANALYSIS: Final = Code("133890006", "SCT", "Breast composition analysis")

MICROMETER: Final = Code("um", "UCUM", "micrometer")
RANGE_FROM_1: Final = Code("{1:n}", "UCUM", "range: 1:n")
ARBITRARY_UNIT: Final = Code("[arb'U]", "UCUM", "arbitrary unit")

BREASTS: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "L": dictionary.cid6022.LeftBreast,
        "R": dictionary.cid6022.RightBreast,
        "B": dictionary.cid6022.BothBreasts,
    }
)
"""CID 6022, by the value of Image Laterality."""

MARKS: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "4147007": BREAST_DENSITY_MARK,
        "129788004": BREAST_DENSITY_MARK,
        "129793001": BREAST_DENSITY_MARK,
        # Where calcifications were seen and not counted: a cluster would be claimed too much.
        codes.CALCIFICATION.value: SELECTED_REGION,
        "129769006": dictionary.cid6014.CalcificationCluster,
        "129770007": dictionary.cid6014.IndividualCalcification,
        "129792006": dictionary.cid6014.ArchitecturalDistortionOfBreast,
        "129794007": dictionary.cid6014.TubularDensity,
        "443808008": dictionary.cid6014.IntramammaryLymphNode,
    }
)
"""CID 6014, by the SNOMED CT value that a finding goes by: a mass is no mark of its own there."""
