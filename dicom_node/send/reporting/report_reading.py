"""Reads a measurement report of the node (TID 1500) from its file."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.send.reporting.report import (
    Algorithm,
    Code,
    Equipment,
    Evaluation,
    Group,
    ImageReference,
    Measure,
    Outline,
    Patient,
    Report,
    Site,
)

_MEASUREMENT_REPORT: Final = "126000"
_PROCEDURE_REPORTED: Final = "121058"
_DEVICE_UID: Final = "121012"
_MEASUREMENTS: Final = "126010"
_GROUP: Final = "125007"
_EVALUATIONS: Final = "C0034375"
_NARRATIVE: Final = "111412"
_COMMENT: Final = "121106"
_TRACKING_ID: Final = "112039"
_TRACKING_UID: Final = "112040"
_FINDING: Final = "121071"
_METHOD: Final = "370129005"
_SITE: Final = "363698007"
_LATERALITY: Final = "272741003"
_PART: Final = "106233006"
_ALGORITHM_NAME: Final = "111001"
_ALGORITHM_VERSION: Final = "111003"
_ALGORITHM_PARAMETERS: Final = "111002"
_ALGORITHM_FAMILY: Final = "111000"

_GROUPS: Final = 3


def read_report(file: Path) -> Report:
    """Return what a measurement report says.

    Raises
    ------
    ObjectRefusedError
        The file cannot be read, or it is no measurement report.
    """
    try:
        return report_of(pydicom.dcmread(file))
    except ObjectRefusedError:
        raise
    except Exception as error:
        # Damaged files can raise any error, and its words may quote them.
        raise ObjectRefusedError(f"the report cannot be read: {type(error).__name__}") from error


def report_of(dataset: Dataset) -> Report:
    """Return what the data set of a measurement report says.

    Raises
    ------
    ObjectRefusedError
        It is no measurement report.
    """
    if _concept(dataset) != _MEASUREMENT_REPORT:
        raise ObjectRefusedError("the object is no measurement report (PS3.16 TID 1500)")
    series = _series_of(dataset)
    evaluations = _items(dataset, _EVALUATIONS)
    zone = _zone_of(dataset)
    written_at = _moment(dataset.get("ContentDate"), dataset.get("ContentTime"), zone)
    request = next(iter(dataset.get("ReferencedRequestSequence") or ()), Dataset())
    return Report(
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        accession_number=str(dataset.get("AccessionNumber") or ""),
        placer_order_number=str(request.get("PlacerOrderNumberImagingServiceRequest") or ""),
        patient=_patient_of(dataset),
        equipment=_equipment_of(dataset),
        procedure=_value(_items(dataset, _PROCEDURE_REPORTED)[0]),
        written_at=written_at or datetime.fromtimestamp(0, UTC),
        studied_at=_moment(dataset.get("StudyDate"), dataset.get("StudyTime"), zone),
        replaces=tuple(_predecessors(dataset)),
        groups=tuple(
            _group(one, series)
            for measurements in _items(dataset, _MEASUREMENTS)
            for one in _items(measurements, _GROUP)
        ),
        evaluations=tuple(
            _evaluation(one, series)
            for container in evaluations
            for one in container.get("ContentSequence") or ()
            if _concept(one) not in {_NARRATIVE, _COMMENT}
        ),
        narrative=" ".join(_texts(evaluations, _NARRATIVE)),
        comments=tuple(_texts(evaluations, _COMMENT)),
    )


def _patient_of(dataset: Dataset) -> Patient:
    name = dataset.get("PatientName")
    groups = [] if name is None else str(name).split("=")[:_GROUPS]
    return Patient(
        names=tuple(groups),
        patient_id=str(dataset.get("PatientID") or ""),
        issuer=str(dataset.get("IssuerOfPatientID") or ""),
        birth_date=str(dataset.get("PatientBirthDate") or ""),
        sex=str(dataset.get("PatientSex") or ""),
    )


def _equipment_of(dataset: Dataset) -> Equipment:
    versions = dataset.get("SoftwareVersions") or ()
    device = _items(dataset, _DEVICE_UID)
    return Equipment(
        manufacturer=str(dataset.get("Manufacturer") or ""),
        model_name=str(dataset.get("ManufacturerModelName") or ""),
        serial_number=str(dataset.get("DeviceSerialNumber") or ""),
        software_versions=(versions,) if isinstance(versions, str) else tuple(versions),
        device_uid=str(device[0].UID) if device else "",
    )


def _predecessors(dataset: Dataset) -> Iterator[str]:
    for study in dataset.get("PredecessorDocumentsSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for one in series.get("ReferencedSOPSequence") or ():
                yield str(one.ReferencedSOPInstanceUID)


def _series_of(dataset: Dataset) -> dict[str, str]:
    """Return the series of everything that the report refers to, by SOP Instance UID."""
    return {
        str(one.ReferencedSOPInstanceUID): str(series.SeriesInstanceUID)
        for keyword in (
            "CurrentRequestedProcedureEvidenceSequence",
            "PertinentOtherEvidenceSequence",
        )
        for study in dataset.get(keyword) or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for one in series.get("ReferencedSOPSequence") or ()
    }


def _group(item: Dataset, series: Mapping[str, str]) -> Group:
    children = list(item.ContentSequence)
    coded = [
        one for one in children if one.ValueType == "CODE" and one.RelationshipType == "CONTAINS"
    ]
    return Group(
        tracking_uid=_tracking_uid(item),
        tracking_id=_tracking_id(item),
        finding=_value(_items(item, _FINDING)[0]),
        method=_first_value(item, _METHOD),
        site=_site(item),
        algorithm=_algorithm(item),
        measures=_measures(children),
        answers=tuple(
            Evaluation(concept=_code(one.ConceptNameCodeSequence[0]), value=_value(one))
            for one in coded
            if _concept(one) != _FINDING
        ),
        outlines=tuple(
            Outline(
                concept=_code(one.ConceptNameCodeSequence[0]),
                graphic_type=str(one.GraphicType),
                points=tuple(float(number) for number in one.GraphicData),
                image=_image(one.ContentSequence[0], series),
            )
            for one in children
            if one.ValueType == "SCOORD"
        ),
    )


def _evaluation(item: Dataset, series: Mapping[str, str]) -> Evaluation:
    """Return an answer; one in words has its code below it, under the same question."""
    children = list(item.get("ContentSequence") or ())
    question = _concept(item)
    is_text = item.ValueType == "TEXT"
    value = _first_value(item, question) if is_text else _value(item)
    return Evaluation(
        concept=_code(item.ConceptNameCodeSequence[0]),
        value=value,
        text=str(item.TextValue) if is_text else "",
        tracking_uid=_tracking_uid(item),
        tracking_id=_tracking_id(item),
        site=_site(item),
        algorithm=_algorithm(item),
        measures=_measures(children),
        images=tuple(_image(one, series) for one in children if one.ValueType == "IMAGE"),
    )


def _tracking_uid(item: Dataset) -> str:
    return next((str(one.UID) for one in _items(item, _TRACKING_UID)), "")


def _tracking_id(item: Dataset) -> str:
    return next((str(one.TextValue) for one in _items(item, _TRACKING_ID)), "")


def _site(item: Dataset) -> Site | None:
    for one in _items(item, _SITE):
        return Site(
            structure=_value(one),
            laterality=_first_value(one, _LATERALITY),
            part=_first_value(one, _PART),
        )
    return None


def _algorithm(item: Dataset) -> Algorithm | None:
    for name in _items(item, _ALGORITHM_NAME):
        return Algorithm(
            name=str(name.TextValue),
            version=" ".join(str(one.TextValue) for one in _items(item, _ALGORITHM_VERSION)),
            parameters=tuple(str(one.TextValue) for one in _items(item, _ALGORITHM_PARAMETERS)),
            family=_first_value(item, _ALGORITHM_FAMILY),
        )
    return None


def _measures(children: Iterable[Dataset]) -> tuple[Measure, ...]:
    return tuple(
        Measure(
            concept=_code(one.ConceptNameCodeSequence[0]),
            value=float(one.MeasuredValueSequence[0].NumericValue),
            unit=_code(one.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]),
        )
        for one in children
        if one.ValueType == "NUM"
    )


def _image(item: Dataset, series: Mapping[str, str]) -> ImageReference:
    referenced = item.ReferencedSOPSequence[0]
    uid = str(referenced.ReferencedSOPInstanceUID)
    frames = referenced.get("ReferencedFrameNumber")
    return ImageReference(
        sop_class_uid=str(referenced.ReferencedSOPClassUID),
        sop_instance_uid=uid,
        series_instance_uid=series.get(uid, ""),
        frames=_whole_numbers(frames),
    )


def _whole_numbers(value: object) -> tuple[int, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str | int):
        return (int(value),)
    assert isinstance(value, Iterable)
    return tuple(int(one) for one in value)


def _items(item: Dataset, concept: str) -> list[Dataset]:
    """Return the direct children of one concept."""
    return [one for one in item.get("ContentSequence") or () if _concept(one) == concept]


def _texts(containers: Iterable[Dataset], concept: str) -> Iterator[str]:
    for container in containers:
        for one in _items(container, concept):
            yield str(one.TextValue)


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return _code(names[0]).value if names else ""


def _first_value(item: Dataset, concept: str) -> Code | None:
    found = (one for one in _items(item, concept) if one.ValueType == "CODE")
    return next(map(_value, found), None)


def _value(item: Dataset) -> Code:
    return _code(item.ConceptCodeSequence[0])


def _code(item: Dataset) -> Code:
    """Return a code in whichever of its three attributes it stands (PS3.3 8.8-1)."""
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    return Code(
        value=str(value),
        scheme=str(item.get("CodingSchemeDesignator") or ""),
        meaning=str(item.get("CodeMeaning") or ""),
    )


def _zone_of(dataset: Dataset) -> timezone:
    text = str(dataset.get("TimezoneOffsetFromUTC") or "").strip()
    if not text:
        return UTC
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0)))


def _moment(date: object, time: object, zone: timezone) -> datetime | None:
    """Return the moment of a date and a time; that of midnight if the time is not known."""
    day, hour = str(date or ""), str(time or "").partition(".")[0]
    try:
        whole = datetime.strptime(f"{day}{hour:0<6}", "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return whole.replace(tzinfo=zone)
