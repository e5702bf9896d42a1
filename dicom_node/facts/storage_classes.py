"""SOP Classes that the node accepts: what it analyses, and what studies of mammograms also hold."""

from typing import Final

from pydicom import uid

from dicom_node.facts.result_kinds import ResultKind
from mammoclip_core.images.header.image_kind import MAMMOGRAM_CLASSES, TOMOSYNTHESIS_CLASSES

__all__ = [
    "ACCEPTED_CLASSES",
    "COMPANION_CLASSES",
    "MAMMOGRAM_CLASSES",
    "RESULT_CLASSES",
    "SECONDARY_CAPTURE_CLASSES",
    "TOMOSYNTHESIS_CLASSES",
]

SECONDARY_CAPTURE_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.7"})

RESULT_CLASSES: Final = frozenset(
    sop_class_uid for kind in ResultKind for sop_class_uid in kind.row.sop_class_uids
)
"""Results that an archive may send back; never analysed."""

COMPANION_CLASSES: Final = frozenset(
    {
        # images of the same examination
        uid.BreastProjectionXRayImageStorageForPresentation,
        uid.BreastProjectionXRayImageStorageForProcessing,
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.UltrasoundImageStorage,
        uid.UltrasoundMultiFrameImageStorage,
        uid.VLPhotographicImageStorage,
        uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
        uid.RawDataStorage,
        # dose, reports, and the marks of other CAD systems
        uid.XRayRadiationDoseSRStorage,
        uid.EnhancedXRayRadiationDoseSRStorage,
        uid.PatientRadiationDoseSRStorage,
        uid.BasicTextSRStorage,
        uid.EnhancedSRStorage,
        uid.ExtensibleSRStorage,
        uid.ProcedureLogStorage,
        uid.KeyObjectSelectionDocumentStorage,
        uid.EncapsulatedCDAStorage,
        # how a workstation showed the images
        uid.ColorSoftcopyPresentationStateStorage,
        uid.PseudoColorSoftcopyPresentationStateStorage,
        uid.BlendingSoftcopyPresentationStateStorage,
        uid.AdvancedBlendingPresentationStateStorage,
        uid.BasicStructuredDisplayStorage,
        uid.ParametricMapStorage,
        uid.SpatialRegistrationStorage,
    }
)
"""What archives hold in studies of mammograms besides. An archive sends a study as a whole, and
some send nothing of it if the node does not take all; set aside with a reason, never analysed."""

ACCEPTED_CLASSES: Final = tuple(
    sorted(
        MAMMOGRAM_CLASSES
        | TOMOSYNTHESIS_CLASSES
        | SECONDARY_CAPTURE_CLASSES
        | RESULT_CLASSES
        | COMPANION_CLASSES
    )
)
