"""The modules that every result object shares: patient, study, series, equipment, SOP common."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final

from highdicom.sr import CodedConcept
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.own_result import MANUFACTURER, MODEL_NAME
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects import codes
from dicom_node.objects.coding_schemes import identify_coding_schemes
from dicom_node.objects.context import ResultContext
from dicom_node.objects.header_values import element_of, number_of
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.uids import uid_of
from dicom_node.objects.wording import RESEARCH_MARK, to_ascii, weights_text

IMPLEMENTATION_CLASS_UID: Final = uid_of("implementation", MODEL_NAME)
IMPLEMENTATION_VERSION_NAME: Final = "MAMMOCLIP_DICOM"

TYPE_2_KEYWORDS: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
"""What every object has to hold, if only empty (PS3.3 C.7.1.1, C.7.2.1)."""

_COPIED_KEYWORDS: Final = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "StudyInstanceUID",
    *TYPE_2_KEYWORDS,
    # Patient (PS3.3 C.7.1.1)
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthTime",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "EthnicGroup",
    "PatientComments",
    "QualityControlSubject",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    # General Study (PS3.3 C.7.2.1)
    "StudyDescription",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianIdentificationSequence",
    "PhysiciansOfRecord",
    "ReferencedStudySequence",
    "ProcedureCodeSequence",
    # Patient Study (PS3.3 C.7.2.2)
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    # Whose images these are
    "InstitutionName",
)

_ONE_VALUE_KEYWORDS: Final = (
    "StudyInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
)
_NEEDED_KEYWORDS: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPClassUID",
    "SOPInstanceUID",
)


def require_one_study(sources: Sequence[Dataset], study_instance_uid: str) -> None:
    """Make sure that all sources are images of one patient and of the analysed study.

    An absent value contradicts nothing; two different ones are a reason to write no object.

    Raises
    ------
    ObjectRefusedError
        Naming the instance and the attribute.
    """
    if not sources:
        raise ObjectRefusedError(f"study {study_instance_uid} has no source image")
    seen: dict[str, str] = {"StudyInstanceUID": study_instance_uid}
    for source in sources:
        name = source.get("SOPInstanceUID", "without SOP Instance UID")
        for keyword in _NEEDED_KEYWORDS:
            if not source.get(keyword):
                raise ObjectRefusedError(f"instance {name} has no {keyword}")
        for keyword in _ONE_VALUE_KEYWORDS:
            value = str(source.get(keyword) or "").rstrip("^= ")
            if value and seen.setdefault(keyword, value) != value:
                raise ObjectRefusedError(
                    f"instance {name} differs from the rest of its study in {keyword}"
                )


def stand_in(source: Dataset, keywords: Iterable[str] = ()) -> Dataset:
    """Return a header that highdicom accepts in place of an incomplete source.

    It refers to the same instance and holds empty patient and study attributes, for `stamp` to
    fill in: highdicom re-reads names and codes that are to be copied as they are.

    Parameters
    ----------
    keywords : further attributes to take over where the source has them
    """
    header = Dataset()
    for keyword in TYPE_2_KEYWORDS:
        setattr(header, keyword, "")
    for keyword in (*_NEEDED_KEYWORDS, *keywords):
        element = element_of(source, keyword)
        if element is not None:
            header[keyword] = element
    return header


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
    _copy_patient_and_study(dataset, source)
    identity = context.identity
    created_at = _in_time_zone_of(source, identity.created_at)
    day, time_of_day = created_at.strftime("%Y%m%d"), created_at.strftime("%H%M%S.%f")

    # General Series (PS3.3 C.7.3.1)
    dataset.SeriesInstanceUID = context.uids.series_instance_uid(kind, variant)
    dataset.SeriesNumber = identity.series_numbers[kind]
    dataset.SeriesDescription = to_ascii(identity.series_description(kind), 64)
    dataset.SeriesDate, dataset.SeriesTime = day, time_of_day

    # General Equipment (PS3.3 C.7.5.1)
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.DeviceSerialNumber = identity.serial_number
    dataset.SoftwareVersions = software_versions(identity)

    # SOP Common (PS3.3 C.12.1), content date of image and document
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = day, time_of_day
    dataset.ContentDate, dataset.ContentTime = day, time_of_day
    dataset.ContributingEquipmentSequence = [_contributing_equipment(identity, created_at)]
    identify_coding_schemes(dataset)
    _set_file_meta(dataset)


def software_versions(identity: ResultIdentity) -> list[str]:
    """Return the versions of software and weights, each within 64 characters."""
    return [
        to_ascii(identity.software_version, 64),
        to_ascii(f"{identity.bundle.name} {identity.bundle.version}", 64),
    ]


def coded(concept: Code) -> CodedConcept:
    """Return a concept as the item of a code sequence."""
    # pydicom's dictionary has zero-width spaces in some meanings, which few character sets hold.
    return CodedConcept.from_code(concept._replace(meaning=concept.meaning.replace("\u200b", "")))


def is_multi_frame(source: Dataset) -> bool:
    """Tell whether references to the source need a frame number."""
    return number_of(source, "NumberOfFrames", 1) > 1


def _copy_patient_and_study(dataset: Dataset, source: Dataset) -> None:
    for keyword in _COPIED_KEYWORDS:
        dataset.pop(keyword, None)
        element = element_of(source, keyword)
        if element is not None:
            dataset[keyword] = element
    for keyword in TYPE_2_KEYWORDS:
        if keyword not in dataset:
            setattr(dataset, keyword, "")


def _in_time_zone_of(source: Dataset, created_at: datetime) -> datetime:
    """Express our time as the study's times are, since one offset is said for all of them."""
    offset = str(source.get("TimezoneOffsetFromUTC") or "")
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdecimal():
        return created_at
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return created_at.astimezone(
        timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
    )


def _contributing_equipment(identity: ResultIdentity, created_at: datetime) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = MODEL_NAME
    item.DeviceSerialNumber = identity.serial_number
    item.SoftwareVersions = software_versions(identity)
    item.add(DataElement("DeviceUID", "UI", identity.device_uid))
    item.ContributionDateTime = created_at.strftime("%Y%m%d%H%M%S.%f%z")
    statements = (RESEARCH_MARK, to_ascii(identity.warning).rstrip("."), weights_text(identity))
    item.ContributionDescription = (
        f"{'. '.join(filter(None, statements))} SHA-256 {identity.bundle.sha256}"
    )
    return item


def _set_file_meta(dataset: Dataset) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
