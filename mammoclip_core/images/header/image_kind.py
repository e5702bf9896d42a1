"""What kind of image an object is, and why some show nothing to analyse; needs no pydicom."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mammoclip_core.images.header.functional_groups import frame_groups
from mammoclip_core.images.header.views import (
    HasAttributes,
    items_of,
    laterality_of,
    value_of,
    view_modifiers_of,
    view_position_of,
)

DIGITAL_MAMMOGRAPHY_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.2"
DIGITAL_MAMMOGRAPHY_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.2.1"
MAMMOGRAM_CLASSES: Final = frozenset(
    {DIGITAL_MAMMOGRAPHY_FOR_PRESENTATION, DIGITAL_MAMMOGRAPHY_FOR_PROCESSING}
)
COMPUTED_RADIOGRAPHY: Final = "1.2.840.10008.5.1.4.1.1.1"
DIGITAL_X_RAY_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.1"
DIGITAL_X_RAY_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.1.1"
RADIOGRAPH_CLASSES: Final = frozenset(
    {COMPUTED_RADIOGRAPHY, DIGITAL_X_RAY_FOR_PRESENTATION, DIGITAL_X_RAY_FOR_PROCESSING}
)
"""Classes in which older systems store mammograms beside radiographs of everything else."""
TOMOSYNTHESIS_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.13.1.3"})

FOR_PRESENTATION: Final = "FOR PRESENTATION"
FOR_PROCESSING: Final = "FOR PROCESSING"

_MAGNIFIED: Final = 1.4
_BREAST: Final = re.compile(r"\bBREASTS?\b")
_BREAST_CODES: Final = frozenset({"76752008", "T-04000"})
_SPECIMEN_VIEW: Final = "127457009"
_LEFT_OUT_MODIFIERS: Final = {
    "spot compression": "spot compression view",
    "magnification": "magnification view",
}


_BIOPSY: Final = ("PREFIRE", "POSTFIRE", "POSTBIOPSY", "POSTMARKER", "BIOPSY", "TOMOSCOUT")
_COMBINED: Final = frozenset({"SUBTRACTION", "SUBTRACTED", "ADDITION", "RECOMBINED"})
_CONTRAST: Final = frozenset({"CONTRAST", "PRECONTRAST", "POSTCONTRAST"})
_PROJECTIONS: Final = frozenset({"TOMOPROJ", "TOMOPROJECTION"})
_GENERATED: Final = frozenset({"GENERATED2D", "TOMO2D", "SYNTHETIC2D"})
_GENERATED_SERIES: Final = re.compile(
    r"\b([SC][- ]?VIEW|V-?PREVIEW|INSIGHT 2D|INTELLIGENT 2D|SYNTH[A-Z]* 2D)\b"
)
"""Products that compute a 2D image, by which a series is called where Image Type says nothing."""


class Acquisition(StrEnum):
    """How an image came about, where that is not by one ordinary exposure."""

    ORDINARY = ""
    LOW_ENERGY = "low energy"
    GENERATED_2D = "generated 2D"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What decides whether an image is analysed.

    Attributes
    ----------
    laterality : ``L``, ``R``, ``B`` or empty
    view_position : as (0018,5101); empty if unknown
    presentation_intent : ``FOR PRESENTATION``, ``FOR PROCESSING`` or empty
    acquisition : low energy of a contrast study, or computed from a tomosynthesis
    left_out_reason : why there is nothing to analyse in it; empty if there is
    """

    sop_instance_uid: str
    sop_class_uid: str
    laterality: str = ""
    view_position: str = ""
    presentation_intent: str = ""
    acquisition: Acquisition = Acquisition.ORDINARY
    left_out_reason: str = ""

    @property
    def is_for_processing(self) -> bool:
        """Tell whether it holds raw detector values."""
        return self.presentation_intent == FOR_PROCESSING

    @property
    def is_tomosynthesis(self) -> bool:
        """Tell whether it is a volume rather than a flat image.

        A 2D image that was computed from a volume may be stored in the class of volumes.
        """
        return (
            self.sop_class_uid in TOMOSYNTHESIS_CLASSES
            and self.acquisition is not Acquisition.GENERATED_2D
        )


def image_facts_of(dataset: HasAttributes) -> ImageFacts:
    """Read what decides whether an image is analysed."""
    sop_class_uid = _text(dataset, "SOPClassUID")
    return ImageFacts(
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        sop_class_uid=sop_class_uid,
        laterality=laterality_of(dataset),
        view_position=view_position_of(dataset),
        presentation_intent=_presentation_intent_of(dataset, sop_class_uid),
        acquisition=acquisition_of(dataset),
        left_out_reason=left_out_reason_of(dataset),
    )


def is_mammogram(image: ImageFacts) -> bool:
    """Tell by its SOP Class whether an object is a mammogram, flat or a volume."""
    return image.sop_class_uid in MAMMOGRAM_CLASSES | TOMOSYNTHESIS_CLASSES


def is_breast_radiograph(dataset: HasAttributes) -> bool:
    """Tell whether a CR or DX image is a mammogram: by modality, or by body part and view.

    References
    ----------
    PS3.3 C.8.1.1 and C.8.11.2 (Body Part Examined, Anatomic Region Sequence); PS3.16 CID 4 for
    the code of the breast, SNOMED CT and the SNOMED-RT value of older equipment.
    """
    if _text(dataset, "SOPClassUID") not in RADIOGRAPH_CLASSES:
        return False
    if _text(dataset, "Modality").upper() == "MG":
        return True
    regions = items_of(dataset, "AnatomicRegionSequence")
    is_breast = bool(_BREAST.search(_text(dataset, "BodyPartExamined").upper())) or any(
        _text(region, "CodeValue") in _BREAST_CODES for region in regions
    )
    return is_breast and bool(view_position_of(dataset))


def left_out_reason_of(dataset: HasAttributes) -> str:
    """Say why an image shows no whole breast; empty where it does.

    References
    ----------
    PS3.3 C.8.11.7.1 (Mammography Image); PS3.16 CID 4014 and CID 4015.
    """
    if _text(dataset, "QualityControlImage").upper() in {"YES", "BOTH"}:
        return "quality control image"
    reason = _special_image_type(dataset)
    if reason:
        return reason
    codes = {_text(item, "CodeValue") for item in items_of(dataset, "ViewCodeSequence")}
    if (
        _SPECIMEN_VIEW in codes
        or view_position_of(dataset) == "SPECIMEN"
        or items_of(dataset, "SpecimenDescriptionSequence")
        or "SPECIMEN" in _image_type(dataset)
        or "SPECIMEN" in _text(dataset, "BodyPartExamined").upper()
    ):
        return "specimen image"
    for modifier in view_modifiers_of(dataset):
        if modifier in _LEFT_OUT_MODIFIERS:
            return _LEFT_OUT_MODIFIERS[modifier]
    if _number(value_of(dataset, "EstimatedRadiographicMagnificationFactor")) >= _MAGNIFIED:
        return "magnification view"
    return ""


def acquisition_of(dataset: HasAttributes) -> Acquisition:
    """Tell images of a contrast study and those computed from a tomosynthesis from ordinary ones.

    References
    ----------
    PS3.3 C.8.11.7.1.4, tables C.8-74d and C.8-74e (Image Type, Values 4 and 5); C.8.21.6.1.1 for
    an image in the class of volumes.
    """
    words = _image_type(dataset)
    if "LOWENERGY" in words:
        return Acquisition.LOW_ENERGY
    is_named_so = _GENERATED_SERIES.search(_text(dataset, "SeriesDescription").upper())
    if _has_frames(dataset):
        return Acquisition.ORDINARY
    if words & _GENERATED or (is_named_so and "ORIGINAL" not in words):
        return Acquisition.GENERATED_2D
    return Acquisition.ORDINARY


def _special_image_type(dataset: HasAttributes) -> str:
    """Say which special image Image Type names; empty for one of a whole breast.

    References
    ----------
    PS3.3 C.8.11.7.1.4 (Image Type, Values 3 to 5), C.8.21.6.1.1 for tomosynthesis.
    """
    words = _image_type(dataset)
    is_combined = bool(words & _COMBINED)
    is_low_energy = "LOWENERGY" in words and not is_combined
    special = {
        "localiser": "LOCALIZER" in words,
        "stereotactic image": any(word.startswith("STEREO") for word in words),
        "biopsy image": any(word.startswith(_BIOPSY) for word in words),
        "tomosynthesis projection": bool(words & _PROJECTIONS) or words >= {"TOMO", "PROJECTION"},
        "high-energy image of a contrast study": "HIGHENERGY" in words,
        "combined image of a contrast study": is_combined,
        "image with contrast that is not a low-energy image": (
            bool(words & _CONTRAST) and not is_low_energy
        ),
        "slice of a tomosynthesis": (
            "TOMOSYNTHESIS" in words
            and not _has_frames(dataset)
            and acquisition_of(dataset) is not Acquisition.GENERATED_2D
        ),
    }
    return next((reason for reason, holds in special.items() if holds), "")


def _image_type(dataset: HasAttributes) -> set[str]:
    """Return the words of Image and Frame Type as one word each: vendors vary ``LOW_ENERGY``."""
    words = _words(dataset, "ImageType")
    for item in frame_groups(dataset, 1, "XRay3DFrameTypeSequence"):
        words += _words(item, "FrameType")
    return {re.sub(r"[^A-Z0-9]", "", word) for word in words}


def _has_frames(dataset: HasAttributes) -> bool:
    """Tell whether it is more than one frame, and so no flat image."""
    return _number(value_of(dataset, "NumberOfFrames")) > 1


def _presentation_intent_of(dataset: HasAttributes, sop_class_uid: str) -> str:
    """Return the intent in the standard's words; empty where neither class nor header says it."""
    if sop_class_uid in {DIGITAL_MAMMOGRAPHY_FOR_PROCESSING, DIGITAL_X_RAY_FOR_PROCESSING}:
        return FOR_PROCESSING
    intent = _text(dataset, "PresentationIntentType").upper()
    return intent if intent in {FOR_PRESENTATION, FOR_PROCESSING} else ""


def _text(dataset: HasAttributes, keyword: str) -> str:
    return str(value_of(dataset, keyword) or "").strip()


def _words(dataset: HasAttributes, keyword: str) -> list[str]:
    value = value_of(dataset, keyword)
    if isinstance(value, str):
        value = [value]
    try:
        return [str(word).upper() for word in value or ()]
    except TypeError:
        return []


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
