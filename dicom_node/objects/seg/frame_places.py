"""Where the frames of a Segmentation lie, as far as its source knows, and how large pixels are."""

from collections.abc import Sequence
from typing import Final

from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from pydicom.dataset import Dataset
from pydicom.valuerep import DS

from dicom_node.objects.elements.header_values import element_of
from dicom_node.objects.findings.image_geometry import plane_of
from mammoclip_core.images.header.functional_groups import frame_groups
from mammoclip_core.images.header.header_numbers import number_of, number_or_none
from mammoclip_core.images.header.pixel_spacing import Spacing, spacing_in_patient_of

NOMINAL_THICKNESS_MM: Final = 1.0

_PROJECTION: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_FRAME_OF_REFERENCE: Final = ("FrameOfReferenceUID", "PositionReferenceIndicator")


def place_frames(segmentation: Dataset, source: Dataset, source_frames: Sequence[int]) -> None:
    """Lay each frame where its source's frame lies; without a plane there is no frame of reference.

    A projection has no plane in the patient: that its rows run along rows is said only since OHIF
    3.13 opens nothing without. Its thickness is nominal, since highdicom's reader wants one beside
    the spacing; a spacing that the source does not state, or that magnification makes false, is
    not made up, and then the thickness stands alone, since OHIF turns its page black where there
    are no measures at all.

    Parameters
    ----------
    source_frames : the frame of the source that each frame of the segmentation is of

    References
    ----------
    PS3.3 C.7.4.1, C.7.6.16.2.1 (Pixel Measures), C.7.6.16.2.3 and .4 (Plane Position, Orientation).
    """
    for keyword in _FRAME_OF_REFERENCE:
        segmentation.pop(keyword, None)
    spacings = [spacing_in_patient_of(source, frame) for frame in source_frames]
    planes = [plane_of(source, frame) for frame in source_frames]
    known = [plane for plane in planes if plane is not None]
    is_placed = len(known) == len(planes) and None not in spacings
    if is_placed:
        _copy_frame_of_reference(segmentation, source)
        for item, plane in zip(segmentation.PerFrameFunctionalGroupsSequence, known, strict=True):
            item.PlanePositionSequence = PlanePositionSequence("PATIENT", plane.position)
    orientations = [plane.orientation for plane in known] if is_placed else [_PROJECTION]
    _share(
        segmentation,
        "PlaneOrientationSequence",
        [PlaneOrientationSequence("PATIENT", one) for one in orientations],
    )
    _share(
        segmentation,
        "PixelMeasuresSequence",
        [
            _measures(spacing, _thickness_of(source, frame))
            for spacing, frame in zip(spacings, source_frames, strict=True)
        ],
    )


def _copy_frame_of_reference(segmentation: Dataset, source: Dataset) -> None:
    segmentation.FrameOfReferenceUID = source.FrameOfReferenceUID
    indicator = element_of(source, "PositionReferenceIndicator")
    segmentation.PositionReferenceIndicator = "" if indicator is None else indicator.value


def _share(segmentation: Dataset, keyword: str, sequences: Sequence[Sequence[Dataset]]) -> None:
    """Write a functional group once where it is the same for all frames, else in each frame."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    if all(sequence == sequences[0] for sequence in sequences):
        setattr(shared, keyword, sequences[0])
        return
    shared.pop(keyword, None)
    for item, sequence in zip(
        segmentation.PerFrameFunctionalGroupsSequence, sequences, strict=True
    ):
        setattr(item, keyword, sequence)


def _measures(spacing: Spacing | None, thickness: float) -> Sequence[Dataset]:
    if spacing is not None:
        return PixelMeasuresSequence(pixel_spacing=spacing, slice_thickness=thickness)
    item = Dataset()
    item.SliceThickness = DS(thickness, auto_format=True)
    return [item]


def _thickness_of(source: Dataset, frame: int) -> float:
    for item in frame_groups(source, frame, "PixelMeasuresSequence"):
        thickness = number_or_none(item, "SliceThickness")
        if thickness is not None and thickness > 0:
            return thickness
    thickness = number_of(source, "SliceThickness", NOMINAL_THICKNESS_MM)
    return thickness if thickness > 0 else NOMINAL_THICKNESS_MM
