"""HL7 messages ORU^R01, read by the parsers of two other projects."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from oru_reading import grouped, parsed, regions_of_message, scores_of_message, values
from pydantic import ValidationError
from pydicom.dataset import Dataset
from told_results import TEN_STUDIES, each_study, regions_of_report, scores_of_report

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.priority import Priority
from dicom_node.send.reporting.oru_message import oru_message
from dicom_node.send.reporting.report import Algorithm, Patient, Report
from dicom_node.send.reporting.report_reading import report_of
from dicom_node.settings.ways_out.reporting import Hl7Destination

Reports = Callable[[str], Dataset]


def receiver(**changes: object) -> Hl7Destination:
    values = {"kind": "hl7", "name": "ris", "host": "localhost", **changes}
    return Hl7Destination.model_validate(values)


def content_of(report: Report, **changes: object) -> bytes:
    return oru_message(report, receiver(**changes)).content


def with_name(report: Report, *names: str) -> Report:
    return replace(report, patient=replace(report.patient, names=names))


@each_study
def test_message_has_the_regions_of_the_report(report_dataset: Reports, case: str) -> None:
    dataset = report_dataset(case)

    message = parsed(content_of(report_of(dataset)))

    assert regions_of_message(message) == regions_of_report(dataset)


@each_study
def test_message_has_the_scores_of_the_report(report_dataset: Reports, case: str) -> None:
    dataset = report_dataset(case)

    message = parsed(content_of(report_of(dataset)))

    assert scores_of_message(message) == scores_of_report(dataset)


@pytest.mark.long
def test_compared_studies_have_regions_and_scores(report_dataset: Reports) -> None:
    datasets = [report_dataset(case) for case in TEN_STUDIES]

    assert sum(len(regions_of_report(one)) for one in datasets) > 10
    assert sum(len(scores_of_report(one)) for one in datasets) > 3


@pytest.mark.parametrize("case", ["many findings", "failed image"])
def test_message_follows_the_tables_of_the_standard(report_dataset: Reports, case: str) -> None:
    text = content_of(report_of(report_dataset(case))).decode()

    # The library holds every value of OBX-5 to the length of ST, whatever OBX-2 says.
    message = parse_message(_with_short_texts(text), validation_level=VALIDATION_LEVEL.STRICT)

    assert message.validate()
    assert message.oru_r01_patient_result.oru_r01_order_observation.obr.obr_25.value == "P"


def _with_short_texts(text: str) -> str:
    segments = [one.split("|") for one in text.split("\r")]
    for fields in segments:
        if fields[0] == "OBX":
            fields[5] = fields[5][:199] if fields[2] == "TX" else fields[5]
    return "\r".join("|".join(fields) for fields in segments)


def test_every_observation_is_preliminary(report_dataset: Reports) -> None:
    message = parsed(content_of(report_of(report_dataset("many findings"))))

    assert {one.get(11) for one in message.all("OBX")} == {"P"}
    assert [one.get(25) for one in message.all("OBR")] == ["P"]


def test_first_observation_says_research_use_and_unverified(report_dataset: Reports) -> None:
    message = parsed(content_of(report_of(report_dataset("one finding"))))

    first = message.all("OBX")[0].get(5) or ""
    assert first.startswith("RESEARCH USE ONLY - NOT FOR DIAGNOSIS.")
    assert "UNTRAINED DEMONSTRATION WEIGHTS" in first
    assert first.endswith("not verified by anybody.")


def test_message_names_model_and_version(report_dataset: Reports) -> None:
    message = parsed(content_of(report_of(report_dataset("one finding"))))

    everything = message.all("OBX")
    assert values(everything, "111001") == ["demonstration"]
    assert values(everything, "111003")[0] == "0.1.0"
    (score,) = [one for one in everything if one.get(2) == "NM" and one.get(6) == "%"]
    assert score.get(17, 2) == "demonstration 0.1.0"
    assert (score.get(18, 2), score.get(18, 4)) == ("mammoclip-dicom", "ISO")


def test_operating_point_is_the_reference_range(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))
    (group,) = report.groups
    chosen = Algorithm(name="m", version="1", parameters=("threshold 0.4212", "finding mass"))
    report = replace(report, groups=(replace(group, algorithm=chosen),))

    message = parsed(content_of(report))

    (score,) = [one for one in message.all("OBX") if one.get(2) == "NM"]
    assert (score.get(5), score.raw(7), score.get(8)) == ("83", "<42.12", "H")


def test_score_that_rounds_to_its_operating_point_gets_no_flag(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))
    (group,) = report.groups
    chosen = Algorithm(name="m", version="1", parameters=("threshold 0.8298",))
    report = replace(report, groups=(replace(group, algorithm=chosen),))

    message = parsed(content_of(report))

    (score,) = [one for one in message.all("OBX") if one.get(2) == "NM"]
    assert (score.raw(7), score.get(8)) == ("<82.98", None)


def test_outlines_can_be_left_out(report_dataset: Reports) -> None:
    report = report_of(report_dataset("four views"))

    message = parsed(content_of(report, outlines=False))

    assert not values(message.all("OBX"), "111030")
    assert len(values(message.all("OBX"), "112040")) == 4


def test_order_is_named_by_accession_number_and_a_number_of_its_own(
    report_dataset: Reports,
) -> None:
    report = report_of(report_dataset("one finding"))
    other = replace(report, study_instance_uid="1.2.3")

    (order,) = parsed(content_of(report)).all("OBR")
    (of_another,) = parsed(content_of(other)).all("OBR")

    assert order.get(18) == "ACC-1"
    assert order.get(3) not in {None, "ACC-1", of_another.get(3)}


def test_later_revision_has_the_number_of_the_order_and_another_control_id(
    report_dataset: Reports,
) -> None:
    report = report_of(report_dataset("one finding"))
    later = replace(report, sop_instance_uid="1.2.3", replaces=(report.sop_instance_uid,))

    before, after = (parsed(content_of(one)) for one in (report, later))

    assert before.all("OBR")[0].get(3) == after.all("OBR")[0].get(3)
    assert before.control_id != after.control_id
    assert values(after.all("OBX"), "replaces_uid") == [report.sop_instance_uid]


def test_same_report_gives_the_same_bytes(report_dataset: Reports) -> None:
    report = report_of(report_dataset("many findings"))

    assert oru_message(report, receiver()) == oru_message(report, receiver())
    assert len(oru_message(report, receiver()).control_id) == 20


NAMES = {
    "UNICODE UTF-8": ("Yamada^Hanako", "山田^花子"),
    "ASCII": ("O'Neil^Ann",),
    "8859/1": ("Müller^Åsa",),
    "8859/2": ("Dvořák^Łucja",),
    "8859/5": ("Иванова^Анна",),
    "8859/7": ("Παπαδοπούλου^Μαρία",),
    "8859/15": ("Œuvré^Žofie",),
    "GB 18030-2000": ("Wang^XiaoDong", "王^小东"),
}


@pytest.mark.parametrize("character_set", NAMES)
def test_name_is_right_in_the_declared_character_set(
    report_dataset: Reports, character_set: str
) -> None:
    report = with_name(report_of(report_dataset("one finding")), *NAMES[character_set])

    message = parsed(content_of(report, character_set=character_set))

    assert message.msh.get(18) == character_set
    (patient,) = message.all("PID")
    read = [f"{one.get(1)}^{one.get(2)}" for one in patient.reps(5)]
    assert read == list(NAMES[character_set])


@pytest.mark.parametrize("character_set", ["ASCII", "8859/1", "8859/5"])
def test_letter_outside_of_the_character_set_is_refused(
    report_dataset: Reports, character_set: str
) -> None:
    report = with_name(report_of(report_dataset("one finding")), "Ōé^Ы")

    with pytest.raises(ObjectRefusedError, match="letters that") as caught:
        content_of(report, character_set=character_set)
    assert "Ы" not in str(caught.value)


def test_groups_of_a_name_are_told_apart(report_dataset: Reports) -> None:
    report = report_of(report_dataset("Japanese name"))

    (patient,) = parsed(content_of(report)).all("PID")

    assert [one.get(8) for one in patient.reps(5)] == ["A", "I", "P"]


def test_parts_of_a_name_change_places(report_dataset: Reports) -> None:
    report = with_name(report_of(report_dataset("one finding")), "Doe^Jane^Mary^Dr.^Jr.")

    (patient,) = parsed(content_of(report)).all("PID")

    # XPN: family, given, second, suffix, prefix.
    assert [patient.get(5, part) for part in range(1, 6)] == ["Doe", "Jane", "Mary", "Jr.", "Dr."]


HOSTILE = "A|B~C\\D&E\rPID|1||F\n\x0b\x1c\rMSH|^~\\&|\x00\x85"


def test_delimiters_and_control_characters_begin_nothing_new(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))
    patient = Patient(
        names=(f"{HOSTILE}^{HOSTILE}",),
        patient_id=HOSTILE,
        issuer=HOSTILE,
        birth_date=HOSTILE,
        sex=HOSTILE,
    )
    hostile = replace(
        report, patient=patient, accession_number=HOSTILE, narrative=HOSTILE, comments=(HOSTILE,)
    )

    content = content_of(hostile)

    assert not {0x0B, 0x1C, 0x00, 0x0A} & set(content)
    message, plain = parsed(content), parsed(content_of(report))
    assert [one.name for one in message.segments] == [one.name for one in plain.segments][
        : len(message.segments)
    ]
    assert (
        message.all("OBR")[0].get(18)
        == "".join(
            " " if ord(letter) < 32 or letter == "\x85" else letter for letter in HOSTILE
        ).rstrip()
    )


def test_settings_are_escaped_too(report_dataset: Reports) -> None:
    content = content_of(report_of(report_dataset("one finding")), receiving_facility="A|B^C")

    assert parsed(content).msh.get(6) == "A|B^C"


def test_accept_acknowledgement_is_asked_for(report_dataset: Reports) -> None:
    message = parsed(content_of(report_of(report_dataset("one finding")), acknowledgement="accept"))

    assert (message.msh.get(15), message.msh.get(16)) == ("AL", "NE")


def test_frame_of_a_multi_frame_image_is_told(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))
    (group,) = report.groups
    (outline,) = group.outlines
    on_frames = replace(outline, image=replace(outline.image, frames=(3, 7)))
    report = replace(report, groups=(replace(group, outlines=(on_frames,)),))

    message = parsed(content_of(report))

    (frames,) = [one for one in grouped(message)[-1] if one.get(3) == "121190"]
    assert [one.get(1) for one in frames.reps(5)] == ["3", "7"]


@pytest.mark.parametrize(
    ("place", "segment", "line"),
    [
        ("OBR-5", "OBR", 5),
        ("OBR-27.6", "OBR", 27),
        ("TQ1-9", "TQ1", 9),
        ("ZPR-2.1", "ZPR", 2),
    ],
)
@pytest.mark.parametrize("priority", [Priority.STAT, Priority.ROUTINE, Priority.OFF_PEAK])
def test_priority_stands_where_the_receiver_looks_for_it(
    report_dataset: Reports, place: str, segment: str, line: int, priority: Priority
) -> None:
    report = replace(report_of(report_dataset("one finding")), priority=priority)
    words = {"stat": "S", "routine": "R", "off-peak": "A|B"}

    message = parsed(content_of(report, priority_field=place, priority_values=words))

    (found,) = message.all(segment)
    part = int((place.partition(".")[2]) or 1)
    assert found.get(line, part) == words[priority.word]
    assert not found.get(line, part - 1 or part + 1)


def test_priority_is_written_nowhere_else(report_dataset: Reports) -> None:
    report = report_of(report_dataset("one finding"))
    urgent = replace(report, priority=Priority.STAT)

    assert content_of(urgent) == content_of(report)
    assert content_of(report, priority_field="TQ1-9") == content_of(report)


def test_message_with_a_priority_follows_the_tables_of_the_standard(
    report_dataset: Reports,
) -> None:
    report = replace(report_of(report_dataset("failed image")), priority=Priority.STAT)
    text = content_of(report, priority_field="TQ1-9").decode()

    message = parse_message(_with_short_texts(text), validation_level=VALIDATION_LEVEL.STRICT)

    assert message.validate()
    order = message.oru_r01_patient_result.oru_r01_order_observation
    assert order.oru_r01_timing_qty.tq1.tq1_9.value == "S"


@pytest.mark.parametrize(
    "changes",
    [
        {"priority_field": "OBR-25"},
        {"priority_field": "PID-3"},
        {"priority_field": "Z-1"},
        {"priority_field": "ZPR-0"},
        {"priority_values": {"urgent": "S"}},
        {"priority_values": {"stat": "S\rPID|"}},
    ],
    ids=str,
)
def test_place_that_is_taken_or_none_is_a_mistake(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        receiver(**changes)
