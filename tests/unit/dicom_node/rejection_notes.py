"""Rejection notes as archives send them, about images of one study."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage
from unit.dicom_node.node_factory import PATIENT_ID, STUDY_UID

_numbers = count(1)


def rejection_note(
    images: Sequence[Dataset],
    code: str = "113001",
    *,
    in_content: Iterable[Dataset] | None = None,
    study_instance_uid: str = STUDY_UID,
    **changes: Any,
) -> Dataset:
    """Return a note that rejects images; its content names the same unless told otherwise."""
    note = Dataset()
    note.SpecificCharacterSet = "ISO_IR 192"
    note.SOPClassUID = KeyObjectSelectionDocumentStorage
    note.SOPInstanceUID = f"{STUDY_UID}.88.{next(_numbers)}"
    note.StudyInstanceUID = study_instance_uid
    note.SeriesInstanceUID = f"{STUDY_UID}.88"
    note.Modality = "KO"
    note.PatientID = PATIENT_ID
    note.ConceptNameCodeSequence = [coded(code)]
    series = Dataset()
    series.SeriesInstanceUID = f"{STUDY_UID}.1"
    series.ReferencedSOPSequence = [reference(image) for image in images]
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = [series]
    note.CurrentRequestedProcedureEvidenceSequence = [study]
    note.ContentSequence = [item(image) for image in (images if in_content is None else in_content)]
    for keyword, value in changes.items():
        setattr(note, keyword, value)
    return note


def coded(value: str, scheme: str = "DCM") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, "title"
    return code


def reference(image: Dataset) -> Dataset:
    named = Dataset()
    named.ReferencedSOPClassUID = image.SOPClassUID
    named.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return named


def item(image: Dataset) -> Dataset:
    content = Dataset()
    content.RelationshipType, content.ValueType = "CONTAINS", "IMAGE"
    content.ReferencedSOPSequence = [reference(image)]
    return content
