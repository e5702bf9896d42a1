"""What a result says of its patient and study: as the source says it, where that is legal."""

from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.objects.elements.header_values import element_of
from dicom_node.objects.elements.legal_items import legal_element

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

_IDENTIFYING: Final = frozenset(
    {
        *("StudyInstanceUID", "PatientName", "PatientID", "IssuerOfPatientID"),
        *("OtherPatientIDs", "AccessionNumber"),
    }
)
"""By these an archive ties a result to the images: another value would tie it elsewhere."""

_PATIENT_AND_STUDY: Final = (
    "SpecificCharacterSet",
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

_TRIAL_SUBJECT: Final = (
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
)
_TRIAL_STUDY: Final = (
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "LongitudinalTemporalOffsetFromEvent",
    "LongitudinalTemporalEventType",
    "ConsentForClinicalTrialUseSequence",
)
_TRIAL_CENTER: Final = "ClinicalTrialCoordinatingCenterName"
_TRIAL_TYPE_1: Final = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID")
_TRIAL_SUBJECT_IDS: Final = ("ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID")
_TRIAL_TYPE_2: Final = (
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
)

COPIED_KEYWORDS: Final = (*_PATIENT_AND_STUDY, *_TRIAL_SUBJECT, *_TRIAL_STUDY, _TRIAL_CENTER)
"""Every attribute that a result may take over from its source."""


def copied_attributes(source: Dataset) -> Dataset:
    """Return the patient, study and clinical trial attributes of a source, all of them legal.

    An illegal value is corrected if there is one legal form of it, else left out; nothing is
    refused for it. What an archive ties the result to the images by is copied as it stands,
    legal or not.

    References
    ----------
    PS3.3 C.7.1.1, C.7.1.3, C.7.2.1, C.7.2.2, C.7.2.3, C.7.3.2.
    """
    copied = Dataset()
    for keyword in _PATIENT_AND_STUDY:
        copy_one = element_of if keyword in _IDENTIFYING else legal_element
        element = copy_one(source, keyword)
        if element is not None and (element.value or keyword in TYPE_2_KEYWORDS):
            copied.add(element)
    for keyword in TYPE_2_KEYWORDS:
        if keyword not in copied:
            setattr(copied, keyword, "")
    _require_character_set(copied)
    _require_method(copied)
    _copy_clinical_trial(copied, source)
    return copied


def _require_character_set(copied: Dataset) -> None:
    """Leave out text that is not ASCII where nothing says in which characters it is written."""
    for element in list(copied):
        if element.keyword not in _IDENTIFYING and not _may_stand(element, copied):
            del copied[element.tag]
            if element.keyword in TYPE_2_KEYWORDS:
                setattr(copied, element.keyword, "")


def _may_stand(element: DataElement, copied: Dataset) -> bool:
    return "SpecificCharacterSet" in copied or _is_ascii(element)


def _is_ascii(element: DataElement) -> bool:
    if element.VR == "SQ":
        return all(_is_ascii(inner) for item in element.value for inner in item)
    return str(element.value).isascii()


def _require_method(copied: Dataset) -> None:
    """Claim no removed identity without the method by which it was removed (Type 1C)."""
    methods = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
    if copied.get("PatientIdentityRemoved") == "YES" and not any(map(copied.get, methods)):
        del copied.PatientIdentityRemoved


def _copy_clinical_trial(copied: Dataset, source: Dataset) -> None:
    """Copy what is said of a trial; a module without its Type 1 attributes is left out."""
    trial = Dataset()
    for keyword in (*_TRIAL_SUBJECT, *_TRIAL_STUDY, _TRIAL_CENTER):
        element = legal_element(source, keyword)
        if element is not None and element.value and _may_stand(element, copied):
            trial.add(element)
    if not all(keyword in trial for keyword in _TRIAL_TYPE_1) or not any(
        keyword in trial for keyword in _TRIAL_SUBJECT_IDS
    ):
        return
    for keyword in _TRIAL_TYPE_2:
        if keyword not in trial:
            setattr(trial, keyword, "")
    if any(keyword in trial for keyword in _TRIAL_STUDY) and _TRIAL_STUDY[0] not in trial:
        setattr(trial, _TRIAL_STUDY[0], "")
    if "ClinicalTrialProtocolEthicsCommitteeName" not in trial:
        trial.pop("ClinicalTrialProtocolEthicsCommitteeApprovalNumber", None)
    if "LongitudinalTemporalOffsetFromEvent" not in trial:
        trial.pop("LongitudinalTemporalEventType", None)
    copied.update(trial)
