"""A modality and an archive that announce: what tests of MPPS and IAN send."""

from collections.abc import Iterable
from typing import Any

from listener_factory import associated
from node_factory import FOR_PRESENTATION, PATIENT_ID, STUDY_UID
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from dicom_node.receive.announcing.announcing import AVAILABILITY, PROCEDURE_STEP
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.announced_steps import AnnouncedStep, AnnouncedSteps

ANNOUNCERS = {"announcers": ["SCANNER"]}
STEP = "1.2.3.400"


def uids(count: int) -> list[str]:
    return [f"{STUDY_UID}.60.{number}" for number in range(count)]


def references(instances: Iterable[str], *, sop_class: str = FOR_PRESENTATION) -> list[Dataset]:
    found = []
    for uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        found.append(item)
    return found


def begun(study: str = STUDY_UID, *, status: str = "IN PROGRESS", patient: str = PATIENT_ID) -> Any:
    """Return the N-CREATE of a performed procedure step."""
    scheduled = Dataset()
    scheduled.StudyInstanceUID = study
    dataset = Dataset()
    dataset.ScheduledStepAttributesSequence = [scheduled] if study else []
    dataset.PatientName, dataset.PatientID = "", patient
    if status:
        dataset.PerformedProcedureStepStatus = status
    dataset.PerformedSeriesSequence = []
    return dataset


def ended(instances: Iterable[str], *, status: str = "COMPLETED") -> Dataset:
    """Return the N-SET that ends one."""
    series = Dataset()
    series.SeriesInstanceUID = f"{STUDY_UID}.1"
    series.ReferencedImageSequence = references(instances)
    dose = Dataset()
    dose.SeriesInstanceUID = f"{STUDY_UID}.2"
    dose.ReferencedImageSequence = []
    dose.ReferencedNonImageCompositeSOPInstanceSequence = references(
        ["1.2.3.9"], sop_class="1.2.840.10008.5.1.4.1.1.88.67"
    )
    dataset = Dataset()
    dataset.PerformedProcedureStepStatus = status
    dataset.PerformedSeriesSequence = [series, dose]
    return dataset


def available(instances: Iterable[str], *gone: str, patient: str = "") -> Dataset:
    """Return an Instance Availability Notification."""
    series = Dataset()
    series.SeriesInstanceUID = f"{STUDY_UID}.1"
    series.ReferencedSOPSequence = references([*instances, *gone])
    for one in series.ReferencedSOPSequence:
        is_gone = one.ReferencedSOPInstanceUID in gone
        one.InstanceAvailability = "UNAVAILABLE" if is_gone else "ONLINE"
        one.RetrieveAETitle = "ARCHIVE"
    dataset = Dataset()
    dataset.StudyInstanceUID = STUDY_UID
    dataset.ReferencedSeriesSequence = [series]
    if patient:
        dataset.PatientID = patient
    return dataset


def create(port: int, dataset: Dataset, uid: str = STEP, *, ian: bool = False, **how: Any) -> Any:
    kind = AVAILABILITY if ian else PROCEDURE_STEP
    syntax = how.pop("syntax", ImplicitVRLittleEndian)
    with associated(port, (kind, [syntax]), **how) as association:
        if not association.is_established:
            return None
        status, _ = association.send_n_create(dataset, kind, uid)
        return status.get("Status")


def change(port: int, dataset: Dataset, uid: str = STEP) -> Any:
    with associated(port, (PROCEDURE_STEP, [ImplicitVRLittleEndian])) as association:
        status, _ = association.send_n_set(dataset, PROCEDURE_STEP, uid)
        return status.get("Status")


def kept(spool: Spool) -> list[AnnouncedStep]:
    return [step for _, step in AnnouncedSteps(spool.root).waiting()]
