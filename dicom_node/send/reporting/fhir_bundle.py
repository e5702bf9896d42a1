"""Writes the report as FHIR R5 resources by the HL7 guide *DICOM SR to FHIR*."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from dicom_node.errors import ObjectRefusedError
from dicom_node.send.reporting.fhir_elements import (
    GUIDE,
    Element,
    coding,
    concept,
    observation_uid,
    own_identifier,
    percentage,
    quantity,
    request_reference,
    sop_class,
    study_reference,
    uid_identifier,
)
from dicom_node.send.reporting.report import (
    Algorithm,
    Code,
    Evaluation,
    Group,
    ImageReference,
    Measure,
    Outline,
    Report,
    Site,
)
from dicom_node.settings.ways_out.reporting import FhirDestination

_REPORT: Final = Code(value="126000", scheme="DCM", meaning="Imaging Measurement Report")
_GROUP: Final = Code(value="125007", scheme="DCM", meaning="Measurement Group")
_FINDING: Final = Code(value="121071", scheme="DCM", meaning="Finding")
_EVALUATIONS: Final = Code(value="C0034375", scheme="UMLS", meaning="Qualitative Evaluations")
_ORIGINAL_SOURCE: Final = Code(value="111040", scheme="DCM", meaning="Original Source")
_SOURCE_IMAGE: Final = Code(value="121112", scheme="DCM", meaning="Source of Measurement")
_PARAMETERS: Final = Code(value="111002", scheme="DCM", meaning="Algorithm Parameters")
_TRACKING_ID: Final = Code(value="112039", scheme="DCM", meaning="Tracking Identifier")
_TRACKING_UID: Final = Code(value="112040", scheme="DCM", meaning="Tracking Unique Identifier")
_BREAST: Final = Code(value="76752008", scheme="SCT", meaning="Breast")
_RADIOLOGY: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
    "code": "RAD",
    "display": "Radiology",
}
_REPLACES: Final = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces"
_PRELIMINARY: Final = "preliminary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A bundle to post, and how many resources it creates or finds."""

    content: bytes
    count: int


def fhir_transaction(report: Report, destination: FhirDestination) -> Transaction:
    """Write the transaction that creates what the server does not have yet of a report.

    Every resource has an identifier that follows from the report, by which it is created once,
    however often it is sent.

    Raises
    ------
    ObjectRefusedError
        The report has no patient ID.
    """
    if not report.patient.patient_id:
        raise ObjectRefusedError("the report has no patient ID, and FHIR needs one to refer to")
    entries = _Resources(report, destination).entries()
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    content = json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode()
    return Transaction(content=content, count=len(entries))


@dataclass(slots=True)
class _Resources:
    """Writes the resources of one report, each before those that refer to it."""

    report: Report
    destination: FhirDestination
    written: dict[str, Element] = field(default_factory=dict)

    def entries(self) -> list[Element]:
        report = self.report
        results = [
            self._evaluation(one, f"evaluation {number}")
            for number, one in enumerate(report.evaluations)
        ]
        results += [self._group(one, f"group {number}") for number, one in enumerate(report.groups)]
        self._diagnostic_report(results)
        return list(self.written.values())

    def _diagnostic_report(self, results: Sequence[Element]) -> None:
        report = self.report
        resource: Element = {
            "resourceType": "DiagnosticReport",
            "identifier": [uid_identifier(report.sop_instance_uid)],
            "status": _PRELIMINARY,
            "category": [{"coding": [_RADIOLOGY]}],
            "code": concept(_REPORT),
            **self._context(),
            "study": [study_reference(report.study_instance_uid)],
            "issued": report.written_at.isoformat(),
            "result": list(results),
            "note": [{"text": text} for text in report.comments],
            "conclusion": report.notice,
        }
        if report.replaces:
            resource["extension"] = [
                {
                    "url": _REPLACES,
                    "valueReference": {
                        "type": "DiagnosticReport",
                        "identifier": uid_identifier(uid),
                    },
                }
                for uid in report.replaces
            ]
        if report.outcome is not None:
            resource["conclusionCode"] = [concept(report.outcome)]
        self._add(resource)

    def _group(self, group: Group, place: str) -> Element:
        """Write a finding with its scores and other answers as members."""
        body = self._body_structure(group.site, group.tracking_uid, group.tracking_id, place)
        outlines = [
            self._region(one, f"{place} outline {number}")
            for number, one in enumerate(group.outlines)
        ]
        device = self._device(group.algorithm)
        shared: Element = {"derivedFrom": outlines} if outlines else {}
        shared |= {"bodyStructure": body}
        members = [
            self._measurement(one, group.algorithm, f"{place} score {number}", shared)
            for number, one in enumerate(group.scores)
        ]
        members += [
            self._answer(one, device, f"{place} answer {number}", shared)
            for number, one in enumerate(group.answers)
        ]
        resource = self._observation("imaging-measurement-group", place, device)
        resource |= {
            "category": [concept(_GROUP)],
            "code": concept(_FINDING),
            "valueCodeableConcept": concept(group.finding),
            "bodyStructure": body,
            "hasMember": members,
            "derivedFrom": [*outlines, self._source()],
        }
        if group.method is not None:
            resource["method"] = concept(group.method)
        return self._add(resource)

    def _evaluation(self, one: Evaluation, place: str) -> Element:
        """Write an answer, with the scores that stand below it as members."""
        images = [
            self._image(image, f"{place} image {number}") for number, image in enumerate(one.images)
        ]
        shared: Element = {"derivedFrom": images} if images else {}
        if one.site is not None or one.tracking_uid:
            shared["bodyStructure"] = self._body_structure(
                one.site, one.tracking_uid, one.tracking_id, place
            )
        members = [
            self._measurement(measure, one.algorithm, f"{place} score {number}", shared)
            for number, measure in enumerate(one.measures)
        ]
        further = shared | {"derivedFrom": [*images, self._source()]}
        if members:
            further["hasMember"] = members
        return self._answer(one, self._device(one.algorithm), place, further)

    def _answer(self, one: Evaluation, device: Element, place: str, further: Element) -> Element:
        resource = self._observation("imaging-qualitative-evaluation", place, device)
        value = {"text": one.text} if one.value is None else concept(one.value, one.text)
        resource |= {
            "category": [concept(_EVALUATIONS)],
            "code": concept(one.concept),
            "valueCodeableConcept": value,
        }
        return self._add(resource | further)

    def _measurement(
        self, measure: Measure, algorithm: Algorithm | None, place: str, further: Element
    ) -> Element:
        resource = self._observation("imaging-measurement", place, self._device(algorithm))
        resource |= {"code": concept(measure.concept), "valueQuantity": quantity(measure)}
        threshold = None if algorithm is None else algorithm.threshold_percent
        if threshold is not None:
            resource["referenceRange"] = [
                {
                    "high": percentage(threshold, measure.unit),
                    "text": "Below the operating point, from which on a score is a finding",
                }
            ]
        return self._add(resource | further)

    def _observation(self, profile: str, place: str, device: Element) -> Element:
        return {
            "resourceType": "Observation",
            "meta": _meta(profile),
            "identifier": [observation_uid(self.report.sop_instance_uid, place)],
            **self._context(),
            "partOf": [study_reference(self.report.study_instance_uid)],
            "status": _PRELIMINARY,
            "issued": self.report.written_at.isoformat(),
            "device": device,
            "note": [{"text": self.report.notice}],
        }

    def _context(self) -> Element:
        """Return of whom a result is, of which order, and when the images were taken."""
        report = self.report
        found: Element = {
            "subject": self._patient(),
            "effectiveDateTime": (report.studied_at or report.written_at).isoformat(),
        }
        if report.accession_number:
            order = request_reference(report.accession_number, self.destination.accession_system)
            found["basedOn"] = [order]
        return found

    def _patient(self) -> Element:
        system, value = self.destination.patient_id_system, self.report.patient.patient_id
        found: Element = {
            "type": "Patient",
            "identifier": ({"system": system} if system else {}) | {"value": value},
        }
        if self.destination.find_patient:
            found["reference"] = f"Patient?identifier={_token(system, value)}"
        return found

    def _body_structure(
        self, site: Site | None, tracking_uid: str, tracking_id: str, place: str
    ) -> Element:
        structure: Element = {"structure": concept(_BREAST if site is None else site.structure)}
        if site is not None and site.laterality is not None:
            structure["laterality"] = concept(site.laterality)
        if site is not None and site.part is not None:
            structure["qualifier"] = [concept(site.part)]
        identifiers = [own_identifier("site", self.report.sop_instance_uid, place)]
        if tracking_uid:
            identifiers.append(uid_identifier(tracking_uid, concept(_TRACKING_UID)))
        if tracking_id:
            identifiers.append({"type": concept(_TRACKING_ID), "value": tracking_id})
        return self._add(
            {
                "resourceType": "BodyStructure",
                "meta": _meta("dicom-sr-finding-site"),
                "identifier": identifiers,
                "patient": self._patient(),
                "includedStructure": [structure],
            }
        )

    def _region(self, outline: Outline, place: str) -> Element:
        instance = _instance(outline.image) | {
            "imageRegion2D": [
                {
                    "regionType": outline.graphic_type.lower(),
                    # From the upper left corner of the image, as in DICOM.
                    "coordinate": list(outline.points),
                }
            ]
        }
        return self._selection(
            "image-region-2d", outline.concept, place, outline.image.series_instance_uid, instance
        )

    def _image(self, image: ImageReference, place: str) -> Element:
        return self._selection(
            "", _SOURCE_IMAGE, place, image.series_instance_uid, _instance(image)
        )

    def _source(self) -> Element:
        report = self.report
        instance = {"uid": report.sop_instance_uid, "sopClass": sop_class(report.sop_class_uid)}
        return self._selection(
            "source-sr-content-item",
            _ORIGINAL_SOURCE,
            "source",
            report.series_instance_uid,
            instance | {"subset": ["1"]},
        )

    def _selection(
        self, profile: str, code: Code, place: str, series: str, instance: Element
    ) -> Element:
        report = self.report
        return self._add(
            {
                "resourceType": "ImagingSelection",
                **({"meta": _meta(profile)} if profile else {}),
                "identifier": [own_identifier("selection", report.sop_instance_uid, place)],
                "status": "available",
                "subject": self._patient(),
                "issued": report.written_at.isoformat(),
                "code": concept(code),
                "studyUid": report.study_instance_uid,
                "derivedFrom": [study_reference(report.study_instance_uid)],
                **({"seriesUid": series} if series else {}),
                "instance": [instance],
            }
        )

    def _device(self, algorithm: Algorithm | None) -> Element:
        """Write the software and, below it, the weights with what they were run with."""
        equipment = self.report.equipment
        software = self._add(
            {
                "resourceType": "Device",
                "meta": _meta("dicom-general-equipment"),
                "identifier": [uid_identifier(equipment.device_uid)],
                "displayName": equipment.model_name,
                "manufacturer": equipment.manufacturer,
                "serialNumber": equipment.serial_number,
                "version": [{"value": one} for one in equipment.software_versions],
            }
        )
        if algorithm is None:
            return software
        parts = (algorithm.name, algorithm.version, *algorithm.parameters)
        resource: Element = {
            "resourceType": "Device",
            "meta": _meta("algorithm-identification"),
            "identifier": [own_identifier("algorithm", equipment.device_uid, *parts)],
            "displayName": algorithm.name,
            "version": [{"value": algorithm.version}],
            "property": [
                {"type": concept(_PARAMETERS), "valueString": one} for one in algorithm.parameters
            ],
            "parent": software,
        }
        if algorithm.family is not None:
            resource["type"] = [{"coding": [coding(algorithm.family)]}]
        return self._add(resource)

    def _add(self, resource: Element) -> Element:
        """Enter a resource, each once, to be created where none has its identifier."""
        resource = {key: value for key, value in resource.items() if value not in ("", [], None)}
        kind, first = resource["resourceType"], resource["identifier"][0]
        token = _token(first.get("system", ""), first["value"])
        name = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{kind}?{token}')}"
        self.written.setdefault(
            name,
            {
                "fullUrl": name,
                "resource": resource,
                "request": {
                    "method": "POST",
                    "url": kind,
                    "ifNoneExist": f"identifier={token}",
                },
            },
        )
        return {"reference": name}


def _instance(image: ImageReference) -> Element:
    found: Element = {"uid": image.sop_instance_uid, "sopClass": sop_class(image.sop_class_uid)}
    return found | ({"subset": [str(one) for one in image.frames]} if image.frames else {})


def _meta(profile: str) -> Element:
    return {"profile": [f"{GUIDE}/StructureDefinition/{profile}"]}


def _token(system: str, value: str) -> str:
    """Return the value of a search by identifier (FHIR R5 3.2.1.5.12)."""
    return "|".join(quote(_searched(part), safe="") for part in (system, value))


def _searched(text: str) -> str:
    for letter in "\\|,$":
        text = text.replace(letter, f"\\{letter}")
    return text
