"""Writes the report as an HL7 v2.5.1 message ORU^R01: preliminary, with every score coded."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dicom_node.facts.priority import Priority
from dicom_node.send.reporting.hl7_text import (
    ENCODING_CHARACTERS,
    coded,
    components,
    encoded,
    escaped,
    number,
    person_name,
    segment,
    time_stamp,
)
from dicom_node.send.reporting.report import (
    OWN_SCHEME,
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
from dicom_node.settings.ways_out.reporting import Hl7Destination

VERSION: Final = "2.5.1"
PRELIMINARY: Final = "P"
"""OBR-25 (table 0123) and OBX-11 (table 0085)."""

SERVICE: Final = Code(value="AIMG", scheme=OWN_SCHEME, meaning="Mammography, analysis by software")
"""Universal service identifier: never that of a reader's report of the same examination."""

_NARRATIVE: Final = Code(value="111412", scheme="DCM", meaning="Narrative Summary")
_COMMENT: Final = Code(value="121106", scheme="DCM", meaning="Comment")
_STUDY_UID: Final = Code(value="110180", scheme="DCM", meaning="Study Instance UID")
_REPORT_UID: Final = Code(
    value="report_uid", scheme=OWN_SCHEME, meaning="SOP Instance UID of the measurement report"
)
_REPLACES: Final = Code(
    value="replaces_uid", scheme=OWN_SCHEME, meaning="SOP Instance UID of a report replaced by it"
)
_DEVICE: Final = Code(value="121015", scheme="DCM", meaning="Device Observer Model Name")
_SOFTWARE: Final = Code(value="software", scheme=OWN_SCHEME, meaning="Software versions")
_ALGORITHM_NAME: Final = Code(value="111001", scheme="DCM", meaning="Algorithm Name")
_ALGORITHM_VERSION: Final = Code(value="111003", scheme="DCM", meaning="Algorithm Version")
_ALGORITHM_PARAMETERS: Final = Code(value="111002", scheme="DCM", meaning="Algorithm Parameters")
_TRACKING_ID: Final = Code(value="112039", scheme="DCM", meaning="Tracking Identifier")
_TRACKING_UID: Final = Code(value="112040", scheme="DCM", meaning="Tracking Unique Identifier")
_FINDING: Final = Code(value="121071", scheme="DCM", meaning="Finding")
_METHOD: Final = Code(value="370129005", scheme="SCT", meaning="Measurement Method")
_SITE: Final = Code(value="363698007", scheme="SCT", meaning="Finding Site")
_LATERALITY: Final = Code(value="272741003", scheme="SCT", meaning="Laterality")
_PART: Final = Code(value="106233006", scheme="SCT", meaning="Topographical modifier")
_IMAGE: Final = Code(value="121112", scheme="DCM", meaning="Source of Measurement")
_FRAMES: Final = Code(value="121190", scheme="DCM", meaning="Referenced Frames")
_PIXELS: Final = Code(value="{pixels}", scheme="UCUM", meaning="Pixels")

_PRIORITIES: Final = {Priority.STAT: "S", Priority.ROUTINE: "R", Priority.OFF_PEAK: "R"}
"""HL7 table 0485."""

_LONGEST_CONTROL_ID: Final = 20
_ROUNDING: Final = 0.05
"""Largest difference between a score in a report and the score itself, in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OruMessage:
    """One message; a repeated one has the same control ID and the same bytes."""

    control_id: str
    content: bytes


def oru_message(report: Report, destination: Hl7Destination) -> OruMessage:
    """Write the message of a report for a receiver.

    Raises
    ------
    ObjectRefusedError
        The receiver's character set lacks a letter.

    References
    ----------
    HL7 v2.5.1 chapters 2, 3 and 7.
    """
    body = "\r".join(_body(report, destination)) + "\r"
    without_id = _header(report, destination, "") + body
    digest = hashlib.sha256(without_id.encode()).hexdigest()
    control_id = f"M{digest}"[:_LONGEST_CONTROL_ID]
    content = f"{_header(report, destination, control_id)}\r{body}"
    return OruMessage(control_id=control_id, content=encoded(content, destination.character_set))


def _header(report: Report, destination: Hl7Destination, control_id: str) -> str:
    is_accept = destination.acknowledgement == "accept"
    fields = {
        # MSH-1 is the separator itself, so that every number is one less.
        1: ENCODING_CHARACTERS,
        2: escaped(destination.sending_application),
        3: escaped(destination.sending_facility),
        4: escaped(destination.receiving_application),
        5: escaped(destination.receiving_facility),
        6: time_stamp(report.written_at),
        8: components("ORU", "R01", "ORU_R01"),
        9: control_id,
        10: destination.processing_id,
        11: VERSION,
        14: "AL" if is_accept else "",
        15: "NE" if is_accept else "",
        17: destination.character_set,
    }
    return segment("MSH", fields)


def _body(report: Report, destination: Hl7Destination) -> Iterator[str]:
    patient = report.patient
    issuer = patient.issuer or destination.assigning_authority
    yield segment(
        "PID",
        {
            1: "1",
            3: components(patient.patient_id, "", "", issuer, "PI") if patient.patient_id else "",
            5: person_name(patient.names),
            7: escaped(patient.birth_date),
            8: escaped(patient.sex),
        },
    )
    taken_at = report.studied_at or report.written_at
    place, prioritised = _priority(report, destination)
    yield segment(
        "OBR",
        (prioritised if place == "OBR" else {})
        | {
            1: "1",
            2: escaped(report.placer_order_number),
            3: components(_filler_number(report), report.equipment.model_name),
            4: coded(SERVICE, report.procedure),
            7: time_stamp(taken_at),
            18: escaped(report.accession_number),
            22: time_stamp(report.written_at),
            24: "RAD",
            25: PRELIMINARY,
        },
    )
    if place == "TQ1":
        yield segment("TQ1", {1: "1"} | prioritised)
    yield from _Observations(report, with_outlines=destination.outlines).segments()
    if place.startswith("Z"):
        yield segment(place, prioritised)


def _priority(report: Report, destination: Hl7Destination) -> tuple[str, dict[int, str]]:
    """Return the segment and the field in which the priority stands; none if it stands nowhere."""
    if report.priority is None or not destination.priority_field:
        return "", {}
    place, _, field_number = destination.priority_field.partition("-")
    line, _, part = field_number.partition(".")
    word = report.priority.word
    values = {str(name): text for name, text in destination.priority_values.items()}
    text = values.get(word) or _PRIORITIES[report.priority]
    return place, {int(line): components(*[""] * (int(part or 1) - 1), text)}


def _filler_number(report: Report) -> str:
    """Return the number of the order at the node: of the study, and the same for each revision.

    It is no accession number: the receiver would put the message in place of a reader's report.
    """
    return f"AI{hashlib.sha256(report.study_instance_uid.encode()).hexdigest()[:18]}"


@dataclass(slots=True)
class _Observations:
    """Writes the OBX segments, those of one finding under one sub-ID (OBX-4)."""

    report: Report
    with_outlines: bool
    written: list[str] = field(default_factory=list)
    group: int = 0

    def segments(self) -> list[str]:
        report = self.report
        self._add("TX", _NARRATIVE, escaped(report.notice))
        self._text("ST", _STUDY_UID, report.study_instance_uid)
        self._text("ST", _REPORT_UID, report.sop_instance_uid)
        for uid in report.replaces:
            self._text("ST", _REPLACES, uid)
        self._text("ST", _DEVICE, report.equipment.model_name)
        self._texts("ST", _SOFTWARE, report.equipment.software_versions)
        if report.algorithm is not None:
            self._text("ST", _ALGORITHM_NAME, report.algorithm.name)
            self._text("ST", _ALGORITHM_VERSION, report.algorithm.version)
        for evaluation in report.evaluations:
            self.group += 1
            self._evaluation(evaluation)
        for group in report.groups:
            self.group += 1
            self._finding(group)
        self.group = 0
        for comment in report.comments:
            self._text("TX", _COMMENT, comment)
        return self.written

    def _evaluation(self, one: Evaluation) -> None:
        if one.value is not None:
            self._add("CWE", one.concept, coded(one.value))
        else:
            self._text("TX", one.concept, one.text)
        self._tracking(one.tracking_uid, one.tracking_id)
        self._site(one.site)
        self._scores(one.measures, one.algorithm)
        for image in one.images:
            self._image(image)

    def _finding(self, group: Group) -> None:
        self._add("CWE", _FINDING, coded(group.finding))
        self._tracking(group.tracking_uid, group.tracking_id)
        self._site(group.site)
        self._scores(group.scores, group.algorithm)
        if group.method is not None:
            self._add("CWE", _METHOD, coded(group.method))
        for answer in group.answers:
            self._evaluation(answer)
        for outline in group.outlines:
            self._image(outline.image)
            if self.with_outlines:
                self._outline(outline)

    def _scores(self, measures: Sequence[Measure], algorithm: Algorithm | None) -> None:
        threshold = None if algorithm is None else algorithm.threshold_percent
        for one in measures:
            further: dict[int, str] = {}
            if threshold is not None:
                further[7] = f"<{number(threshold)}"
                # Scores are rounded: one beside its operating point could be on either side.
                further[8] = "H" if one.value - _ROUNDING > threshold else ""
            if algorithm is not None:
                name = Code(
                    value=algorithm.name,
                    scheme=OWN_SCHEME,
                    meaning=f"{algorithm.name} {algorithm.version}",
                )
                further[17] = coded(name)
            self._add("NM", one.concept, number(one.value), unit=one.unit, further=further)
        if measures and algorithm is not None:
            self._texts("ST", _ALGORITHM_PARAMETERS, algorithm.parameters)

    def _site(self, site: Site | None) -> None:
        if site is None:
            return
        self._add("CWE", _SITE, coded(site.structure))
        if site.laterality is not None:
            self._add("CWE", _LATERALITY, coded(site.laterality))
        if site.part is not None:
            self._add("CWE", _PART, coded(site.part))

    def _tracking(self, uid: str, identifier: str) -> None:
        if uid:
            self._text("ST", _TRACKING_UID, uid)
        if identifier:
            self._text("ST", _TRACKING_ID, identifier)

    def _image(self, image: ImageReference) -> None:
        self._text("ST", _IMAGE, image.sop_instance_uid)
        if image.frames:
            self._texts("NM", _FRAMES, [str(frame) for frame in image.frames])

    def _outline(self, outline: Outline) -> None:
        """Write column and row of each point as a numeric array (NA), a repetition for a point."""
        points = outline.points
        array = "~".join(
            f"{number(column)}^{number(row)}"
            for column, row in zip(points[::2], points[1::2], strict=True)
        )
        self._add("NA", outline.concept, array, unit=_PIXELS)

    def _text(self, kind: str, concept: Code, text: str) -> None:
        self._add(kind, concept, escaped(text))

    def _texts(self, kind: str, concept: Code, texts: Sequence[str]) -> None:
        if texts:
            self._add(kind, concept, "~".join(map(escaped, texts)))

    def _add(
        self,
        kind: str,
        concept: Code,
        value: str,
        *,
        unit: Code | None = None,
        further: dict[int, str] | None = None,
    ) -> None:
        equipment = self.report.equipment
        fields = {
            1: str(len(self.written) + 1),
            2: kind,
            3: coded(concept),
            4: str(self.group) if self.group else "",
            5: value,
            6: "" if unit is None else coded(unit),
            11: PRELIMINARY,
            14: time_stamp(self.report.written_at),
            18: components(
                equipment.serial_number, equipment.model_name, equipment.device_uid, "ISO"
            ),
        }
        self.written.append(segment("OBX", fields | (further or {})))
