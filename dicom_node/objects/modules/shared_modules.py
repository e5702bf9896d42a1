"""The modules that every result object shares: patient, study, series, equipment, SOP common."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.own_result import MANUFACTURER, MODEL_NAME
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.context import ResultContext
from dicom_node.objects.elements.local_time import offset_for
from dicom_node.objects.modules.contributing_equipment import (
    contributing_equipment,
    software_versions,
)
from dicom_node.objects.modules.copied_attributes import (
    COPIED_KEYWORDS,
    copied_attributes,
)
from dicom_node.objects.modules.requested_procedures import request_attributes
from dicom_node.objects.terms.coding_schemes import private_coding_schemes
from dicom_node.objects.terms.wording import to_ascii
from dicom_node.objects.uids import uid_of
from mammoclip_core.images.header.header_numbers import number_of

IMPLEMENTATION_CLASS_UID: Final = uid_of("implementation", MODEL_NAME)
IMPLEMENTATION_VERSION_NAME: Final = "MAMMOCLIP_DICOM"

_CREATION: Final = ("Series", "InstanceCreation", "Content", "PresentationCreation")
"""Pairs of date and time that tell when an object was made."""

_NEEDED_KEYWORDS: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPClassUID",
    "SOPInstanceUID",
)


def require_one_study(sources: Sequence[Dataset], study_instance_uid: str) -> None:
    """Make sure that all sources are images of the analysed study.

    Raises
    ------
    ObjectRefusedError
        Naming the instance and the attribute.
    """
    if not sources:
        raise ObjectRefusedError(f"study {study_instance_uid} has no source image")
    for source in sources:
        name = source.get("SOPInstanceUID", "without SOP Instance UID")
        for keyword in _NEEDED_KEYWORDS:
            if not source.get(keyword):
                raise ObjectRefusedError(f"instance {name} has no {keyword}")
        if str(source.StudyInstanceUID) != study_instance_uid:
            raise ObjectRefusedError(
                f"instance {name} differs from the rest of its study in StudyInstanceUID"
            )


def stamp(
    dataset: Dataset,
    source: Dataset,
    kind: ResultKind,
    context: ResultContext,
    variant: str = "",
) -> None:
    """Write the shared modules into an object, over whatever its constructor put there.

    Parameters
    ----------
    dataset : the object, complete but for its shared modules; ``SOPClassUID``,
        ``SOPInstanceUID``, ``InstanceNumber`` and ``Modality`` are its own
    source : of which patient and study are copied as they are
    variant : what tells its series from another of the same kind; may be empty
    """
    copied = copied_attributes(source)
    _copy_patient_and_study(dataset, copied)
    identity = context.identity
    offset = offset_for(source, identity.time_zone, identity.created_at)

    # General Series (PS3.3 C.7.3.1)
    dataset.SeriesInstanceUID = context.uids.series_instance_uid(kind, variant)
    dataset.SeriesNumber = identity.series_numbers[kind]
    dataset.SeriesDescription = to_ascii(kind.row.series_description, 64)
    dataset.SeriesDate = dataset.SeriesTime = ""
    requests = request_attributes(source)
    # A report names its requests in a sequence of its own (PS3.3 C.17.2).
    if requests and not kind.row.is_report:
        dataset.RequestAttributesSequence = requests

    # General Equipment (PS3.3 C.7.5.1)
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.DeviceSerialNumber = identity.device_serial_number
    dataset.SoftwareVersions = software_versions(identity)

    # SOP Common (PS3.3 C.12.1), content date of image and document
    dataset.InstanceCreationDate = dataset.InstanceCreationTime = ""
    dataset.ContentDate = dataset.ContentTime = ""
    created_at = identity.created_at.astimezone(offset)
    dataset.TimezoneOffsetFromUTC = created_at.strftime("%z")
    dataset.ContributingEquipmentSequence = contributing_equipment(identity, created_at)
    schemes = private_coding_schemes(dataset, source, copied, identity)
    if schemes:
        dataset.CodingSchemeIdentificationSequence = schemes
    write_creation_times(dataset, created_at)
    _set_file_meta(dataset)


def write_creation_times(dataset: Dataset, created_at: datetime) -> None:
    """Write when an object was made wherever it says so, in the zone of its other times.

    Parameters
    ----------
    created_at : aware
    """
    created_at = created_at.astimezone(time_zone_of(dataset, created_at))
    for name in _CREATION:
        if f"{name}Date" in dataset:
            setattr(dataset, f"{name}Date", created_at.strftime("%Y%m%d"))
            setattr(dataset, f"{name}Time", created_at.strftime("%H%M%S.%f"))
    for item in dataset.ContributingEquipmentSequence:
        # Without offset: dcmtk 3.6.7 refuses a time that states one itself.
        item.ContributionDateTime = created_at.strftime("%Y%m%d%H%M%S.%f")


def time_zone_of(dataset: Dataset, created_at: datetime) -> tzinfo | None:
    """Return the zone of an object's times: that of the study where it is stated, else our own."""
    offset = str(dataset.get("TimezoneOffsetFromUTC") or "")
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdecimal():
        return created_at.tzinfo
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def is_multi_frame(source: Dataset) -> bool:
    """Tell whether references to the source need a frame number."""
    return number_of(source, "NumberOfFrames", 1) > 1


def _copy_patient_and_study(dataset: Dataset, copied: Dataset) -> None:
    for keyword in COPIED_KEYWORDS:
        dataset.pop(keyword, None)
    dataset.update(copied)


def _set_file_meta(dataset: Dataset) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
