"""The header of an image without whose it is: for results that leave the site."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.facts.pseudonyms import Pseudonyms
from mammoclip_core.findings import StudyAnalysis

_METHOD: Final = "keyed pseudonyms; dates, names and texts removed"

_KEPT: Final = frozenset(
    {
        "AnatomicRegionSequence",
        "BodyPartExamined",
        "BreastImplantPresent",
        "FrameOfReferenceUID",
        "ImageLaterality",
        "ImageType",
        "InstanceNumber",
        "Laterality",
        "Manufacturer",
        "ManufacturerModelName",
        "Modality",
        "PartialView",
        "PartialViewCodeSequence",
        "PatientAge",
        "PatientOrientation",
        "PatientSex",
        "PresentationIntentType",
        "PresentationLUTShape",
        "SOPClassUID",
        "SOPInstanceUID",
        "SeriesInstanceUID",
        "SeriesNumber",
        "SharedFunctionalGroupsSequence",
        "SpecificCharacterSet",
        "StudyInstanceUID",
        "ViewCodeSequence",
        "ViewPosition",
    }
)
_KEPT_GROUPS: Final = frozenset({0x0018, 0x0028})
"""How an image was acquired and what its pixels are; numbers and code strings of them."""

_CODED: Final = frozenset({"CS", "DS", "FD", "FL", "IS", "OB", "OW", "SL", "SQ", "SS", "UL", "US"})
_NEVER: Final = frozenset({"AE", "DA", "DT", "PN", "TM", "LT", "ST", "UC", "UR", "UT", "UN"})


def pseudonymised(header: Dataset, pseudonyms: Pseudonyms) -> Dataset:
    """Return a header with what a result needs of the image, and pseudonyms for whose it is.

    Dates, times, texts, names and private elements are left out; UIDs, Patient ID and Accession
    Number are pseudonyms.

    References
    ----------
    PS3.15 E.1, without its options; PS3.3 C.7.1.1 (Patient Identity Removed).
    """
    made = Dataset()
    for element in header:
        group = element.tag.group
        is_kept = element.keyword in _KEPT or (group in _KEPT_GROUPS and element.VR in _CODED)
        if is_kept and not element.tag.is_private:
            made.add(_cleaned(element, pseudonyms))
    for keyword in ("PatientID", "AccessionNumber", "StudyID"):
        value = str(header.get(keyword) or "").strip()
        setattr(made, keyword, pseudonyms.word(keyword, value))
    made.PatientName = f"{made.PatientID}^" if made.PatientID else ""
    made.PatientBirthDate = made.StudyDate = made.StudyTime = made.ReferringPhysicianName = ""
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = _METHOD
    return made


def analysis_of(analysis: StudyAnalysis, pseudonyms: Pseudonyms) -> StudyAnalysis:
    """Return an answer under the pseudonyms of its study and images."""
    findings = analysis.findings
    images = tuple(
        replace(
            image,
            sop_instance_uid=pseudonyms.uid(image.sop_instance_uid),
            reason=pseudonyms.text(image.reason),
        )
        for image in findings.images
    )
    heatmaps = tuple(
        replace(one, sop_instance_uid=pseudonyms.uid(one.sop_instance_uid))
        for one in analysis.heatmaps
    )
    study = pseudonyms.uid(findings.study_instance_uid)
    return replace(
        analysis,
        findings=replace(findings, study_instance_uid=study, images=images),
        heatmaps=heatmaps,
    )


def may_name_the_patient(headers: Mapping[str, Dataset]) -> list[str]:
    """Return the images that say that words are burnt into their pixels."""
    return sorted(
        uid
        for uid, header in headers.items()
        if str(header.get("BurnedInAnnotation") or "").strip().upper() == "YES"
    )


def _cleaned(element: DataElement, pseudonyms: Pseudonyms) -> DataElement:
    if element.VR == "UI":
        values = element.value if element.VM > 1 else [element.value]
        replaced = [pseudonyms.uid(str(value or "")) for value in values]
        return DataElement(element.tag, "UI", replaced if element.VM > 1 else replaced[0])
    if element.VR != "SQ":
        return element
    items = []
    for item in element.value:
        cleaned = Dataset()
        for inner in item:
            if inner.VR not in _NEVER and not inner.tag.is_private:
                cleaned.add(_cleaned(inner, pseudonyms))
        items.append(cleaned)
    return DataElement(element.tag, "SQ", items)
