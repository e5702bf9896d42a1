"""Structured reports of readers on results of the node, as systems of several makers write them."""

from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, generate_uid


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def item(kind: str, name: Dataset | None, *children: Dataset, **values: Any) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = "CONTAINS", kind
    if name is not None:
        made.ConceptNameCodeSequence = [name]
    for keyword, value in values.items():
        setattr(made, keyword, value)
    if children:
        made.ContentSequence = list(children)
    return made


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return made


def tracked(uid: str) -> Dataset:
    return item("UIDREF", coded("112040", "DCM", "Tracking Unique Identifier"), UID=uid)


def decided(code: Dataset, *children: Dataset) -> Dataset:
    name = coded("assess", "99PACS", "Assessment")
    return item("CODE", name, *children, ConceptCodeSequence=[code])


def said(text: str, name: Dataset | None = None) -> Dataset:
    return item("TEXT", name or coded("121106", "DCM", "Comment"), TextValue=text)


def group(*children: Dataset) -> Dataset:
    return item("CONTAINER", coded("125007", "DCM", "Measurement Group"), *children)


def reader_report(
    study_instance_uid: str,
    sop_instance_uid: str,
    *content: Dataset,
    sop_class_uid: str = "1.2.840.10008.5.1.4.1.1.88.34",
    references: Iterable[str] | None = None,
    **attributes: Any,
) -> Dataset:
    """Return a report that refers to one result of the node."""
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = ComprehensiveSRStorage, generate_uid()
    report.StudyInstanceUID, report.SeriesInstanceUID = study_instance_uid, generate_uid()
    report.Modality, report.SeriesNumber, report.InstanceNumber = "SR", 1, 1
    report.PatientName, report.PatientID = "Quellwasser^Ottilie", "KLINIK-90817263"
    report.PatientBirthDate, report.PatientSex = "19470302", "F"
    report.ContentDate, report.ContentTime = "20261129", "081500.000"
    report.TimezoneOffsetFromUTC = "+0100"
    series, study = Dataset(), Dataset()
    uids = [sop_instance_uid] if references is None else references
    series.ReferencedSOPSequence = [reference(sop_class_uid, one) for one in uids]
    series.SeriesInstanceUID = generate_uid()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = study_instance_uid, [series]
    report.CurrentRequestedProcedureEvidenceSequence = [study]
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    report.ConceptNameCodeSequence = [coded("result", "99PACS", "AI Result Assessment")]
    observer = item("PNAME", coded("121008", "DCM", "Person Observer Name"))
    observer.PersonName = "Reader^Rita"
    report.ContentSequence = [observer, *content]
    for keyword, value in attributes.items():
        setattr(report, keyword, value)
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return report
