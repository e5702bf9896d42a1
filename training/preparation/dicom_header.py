"""What a DICOM file says of itself, as far as preparation needs it: whose image, which view."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pydicom

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.dicom_file import read_header

_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomHeader:
    """One file's header.

    Attributes
    ----------
    patient : ``P`` and 16 hexadecimal digits
        The same for all images of a patient, whose ID it does not show.
    laterality : ``L``, ``R``, ``B`` or empty
    view : as (0018,5101); empty if unknown
    is_image : bool
        Whether it has rows and columns.
    """

    sop_instance_uid: str
    study_instance_uid: str
    patient: str
    laterality: str
    view: str
    presentation_intent: str
    is_image: bool
    frames: int


def read_image_header(path: Path) -> DicomHeader:
    """Read a file's header; raises PixelError where it is not a readable DICOM file."""
    header = read_header(path)
    try:
        dataset = pydicom.dcmread(
            path,
            stop_before_pixels=True,
            specific_tags=["PatientID", "IssuerOfPatientID"],
        )
        named = str(dataset.get("PatientID") or "").strip()
        issuer = str(dataset.get("IssuerOfPatientID") or "").strip()
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise PixelError(f"the Patient ID cannot be read: {type(error).__name__}") from error
    # Without a Patient ID each study stands for a patient of its own.
    whose = f"{issuer}\n{named}" if named else header.study_instance_uid
    return DicomHeader(
        sop_instance_uid=header.sop_instance_uid,
        study_instance_uid=header.study_instance_uid,
        patient=f"P{hashlib.sha256(whose.encode()).hexdigest()[:_DIGITS]}",
        laterality=header.laterality,
        view=header.view_position,
        presentation_intent=header.presentation_intent,
        is_image=header.is_image,
        frames=header.number_of_frames,
    )
