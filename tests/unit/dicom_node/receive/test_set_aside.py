"""What the registrar does not analyse, with its reason, and that nobody is named in the log."""

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from node_factory import (
    FOR_PROCESSING,
    NOW,
    PATIENT_WORDS,
    SECONDARY_CAPTURE,
    STUDY_UID,
    TOMOSYNTHESIS,
    Reception,
    encoded,
    mammogram,
    put,
)
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.facts.bounded_header import MAXIMUM_INFLATED_BYTES
from dicom_node.studies.ledger.identifiers.identifier_table import StudyIdentifiers
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Base

ReceptionWith = Callable[..., Reception]

REASONS = {
    "text": (b"GET / HTTP/1.1\r\n\r\n" * 20, "unreadable-object"),
    "nothing": (b"", "missing-uid"),
    "cut off within a tag": (encoded(mammogram())[:9], "unreadable-object"),
    "random bytes": (bytes(range(256)) * 8, "unreadable-object"),
    "no pixel data": (mammogram(without=["PixelData"]), "no-pixel-data"),
    "no laterality": (mammogram(without=["ImageLaterality"]), "no-laterality"),
    "nonsense laterality": (mammogram(ImageLaterality="X"), "no-laterality"),
    "two lateralities": (mammogram("RCC", "L"), "no-laterality"),
    "no view": (mammogram(without=["ViewPosition"]), "no-view"),
    "view of 4,000 characters": (
        encoded(mammogram("CC", SOPInstanceUID="1.2.3")).replace(
            b"CS\x02\x00CC", b"CS\xa0\x0f" + b"CC" * 2000
        ),
        "no-view",
    ),
    "no study UID": (mammogram(without=["StudyInstanceUID"]), "missing-uid"),
    "no series UID": (mammogram(without=["SeriesInstanceUID"]), "missing-uid"),
    "empty study UID": (mammogram(StudyInstanceUID=""), "missing-uid"),
    "tomosynthesis": (mammogram(SOPClassUID=TOMOSYNTHESIS), "tomosynthesis"),
    "secondary capture": (mammogram(SOPClassUID=SECONDARY_CAPTURE), "not-a-mammogram"),
    "mismatched UID": (mammogram(), "mismatched-uid"),
}

JOURNEYS: dict[str, dict[str, Any]] = {
    "mismatched UID": {"sop_instance_uid": "1.2.3"},
    "nothing": {"sop_instance_uid": "1.2.3"},
    "view of 4,000 characters": {"sop_instance_uid": "1.2.3"},
}


@pytest.mark.parametrize("case", REASONS)
def test_object_is_set_aside_with_its_reason(reception: Reception, case: str) -> None:
    content, reason = REASONS[case]

    row = reception.receive(content, **JOURNEYS.get(case, {}))

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, reason)
    assert row.detail
    assert reception.spool.file(row.place).is_file()
    assert reception.spool.incoming() == []


@pytest.mark.parametrize("case", REASONS)
def test_set_aside_object_is_told_in_one_line_that_names_nobody(
    reception: Reception, log_lines: list[Any], case: str
) -> None:
    content, reason = REASONS[case]

    reception.receive(content, **JOURNEYS.get(case, {}))

    (line,) = log_lines
    assert (line["event"], line["log_level"]) == ("instance_set_aside", "warning")
    assert line["reason"] == reason
    assert not [word for word in PATIENT_WORDS if word in str(line)]


def test_tomosynthesis_is_kept_where_the_settings_say_how(reception: Reception) -> None:
    reception.takes_tomosynthesis = True

    row = reception.receive(mammogram(SOPClassUID=TOMOSYNTHESIS))

    assert (row.state, row.laterality, row.view_position) == (InstanceState.REGISTERED, "L", "MLO")


def test_generated_2d_in_the_class_of_volumes_is_a_mammogram(reception: Reception) -> None:
    image = mammogram(
        SOPClassUID=TOMOSYNTHESIS,
        ImageType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"],
        NumberOfFrames=1,
    )

    row = reception.receive(image)

    assert (row.state, row.acquisition) == (InstanceState.REGISTERED, "generated 2D")
    assert row.left_out_reason == ""


def test_detail_names_the_breasts_that_the_header_names(reception: Reception) -> None:
    row = reception.receive(mammogram("RCC", "L"))

    assert "View Position RCC is of breast R, the laterality says L" in row.detail


def test_registered_image_is_told_in_one_line_that_names_nobody(
    reception: Reception, log_lines: list[Any]
) -> None:
    dataset = mammogram()

    reception.receive(dataset)

    (line,) = log_lines
    assert (line["event"], line["sop_instance"]) == ("instance_new", dataset.SOPInstanceUID)
    assert not [word for word in PATIENT_WORDS if word in str(line)]


def test_ledger_names_nobody_but_in_the_index_of_identifiers(reception: Reception) -> None:
    reception.receive(mammogram())
    reception.receive(mammogram(without=["ViewPosition"]))

    with reception.database.reading() as session:
        stored = " ".join(
            str(row)
            for table in Base.metadata.sorted_tables
            if table.name != StudyIdentifiers.__tablename__
            for row in session.execute(table.select())
        )

    assert "SCANNER" in stored
    assert not [word for word in PATIENT_WORDS if word in stored]


def test_names_of_files_name_nobody(reception: Reception) -> None:
    dataset = mammogram()
    reception.receive(dataset)
    reception.receive(b"garbage")

    names = " ".join(str(path) for path in reception.files("."))

    for word in (*PATIENT_WORDS, dataset.SOPInstanceUID, STUDY_UID):
        assert word not in names


@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]
)
@pytest.mark.parametrize(
    "value", ["../../etc/passwd", "1.2.3/../4", "/etc/passwd", "1.2.3 4", "1..2", "9" * 65, "1\n2"]
)
@pytest.mark.filterwarnings("ignore:.*(VR UI|Invalid).*")
def test_uid_that_is_none_is_set_aside(reception: Reception, keyword: str, value: str) -> None:
    known = "SOPInstanceUID" if keyword == "SOPClassUID" else keyword
    uid = getattr(mammogram(), known)
    placeholder = uid[: len(value)].ljust(len(value), "1")
    content = encoded(mammogram(**{keyword: placeholder})).replace(
        placeholder.encode(), value.encode()
    )

    row = reception.receive(content, sop_instance_uid="1.2.3")

    assert row.state is InstanceState.SET_ASIDE
    assert row.reason in {"invalid-uid", "mismatched-uid"}
    assert reception.spool.file(row.place).is_relative_to(reception.spool.root / "set-aside")


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_uid_in_the_request_that_is_a_path_names_no_file(reception: Reception) -> None:
    row = reception.receive(mammogram(), sop_instance_uid="../../../etc/passwd")

    assert row.reason == "mismatched-uid"
    assert reception.spool.file(row.place).is_relative_to(reception.spool.root / "set-aside")


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_uid_with_leading_zeros_is_taken(reception: Reception) -> None:
    row = reception.receive(mammogram(SeriesInstanceUID="1.2.003"))

    assert row.state is InstanceState.REGISTERED


def test_stray_says_who_sent_it(reception: Reception) -> None:
    row = reception.receive(b"garbage", calling_ae_title="ROOM7")

    assert (row.study_id, row.calling_ae_title) == (None, "ROOM7")


def test_secondary_capture_of_a_configured_sender_is_a_mammogram(
    reception_with: ReceptionWith,
) -> None:
    reception = reception_with(secondary_capture_senders=("DIGITISER",))

    row = reception.receive(
        mammogram(SOPClassUID=SECONDARY_CAPTURE, without=["PresentationIntentType"]),
        calling_ae_title="DIGITISER",
    )

    assert row.state is InstanceState.REGISTERED


def test_secondary_capture_of_another_sender_is_none(reception_with: ReceptionWith) -> None:
    reception = reception_with(secondary_capture_senders=("DIGITISER",))

    row = reception.receive(mammogram(SOPClassUID=SECONDARY_CAPTURE), calling_ae_title="ROOM1")

    assert row.reason == "not-a-mammogram"


@pytest.mark.parametrize("without", [[], ["PresentationIntentType"]])
def test_for_processing_image_is_known_by_its_class(
    reception: Reception, without: list[str]
) -> None:
    dataset = mammogram(
        SOPClassUID=FOR_PROCESSING, PresentationIntentType="FOR PROCESSING", without=[]
    )
    for keyword in without:
        del dataset[keyword]

    row = reception.receive(dataset)

    assert row.presentation_intent == "FOR PROCESSING"


def test_ledger_keeps_no_free_text_as_intent(reception: Reception) -> None:
    row = reception.receive(mammogram(PresentationIntentType="OTTILIE QUELL"))

    assert row.presentation_intent == ""


def test_deflated_mammogram_is_registered(reception: Reception) -> None:
    deflated = _deflated(encoded(mammogram()))

    uid = mammogram().SOPInstanceUID
    row = reception.receive(
        deflated,
        transfer_syntax=DeflatedExplicitVRLittleEndian,
        sop_instance_uid=f"{STUDY_UID}.1.{int(uid.rpartition('.')[2]) - 1}",
    )

    assert row.state is InstanceState.REGISTERED


def test_deflate_bomb_is_set_aside_before_it_bursts(reception_with: ReceptionWith) -> None:
    reception = reception_with(maximum_object_bytes=1_000_000)
    bomb = _deflated(bytes(40_000_000))

    row = reception.receive(bomb, transfer_syntax=DeflatedExplicitVRLittleEndian)

    assert len(bomb) < 100_000
    assert row.reason == "too-large"


@pytest.mark.long
def test_deflated_object_has_a_limit_of_its_own(reception: Reception) -> None:
    content = bytes(MAXIMUM_INFLATED_BYTES + 1)

    row = reception.receive(_deflated(content), transfer_syntax=DeflatedExplicitVRLittleEndian)

    assert reception.settings.maximum_object_bytes > MAXIMUM_INFLATED_BYTES
    assert row.reason == "too-large"


def test_broken_deflate_stream_is_set_aside(reception: Reception) -> None:
    row = reception.receive(b"\xff" * 500, transfer_syntax=DeflatedExplicitVRLittleEndian)

    assert row.reason == "unreadable-object"


def test_endless_nesting_is_set_aside(reception: Reception) -> None:
    sequence = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"

    row = reception.receive(sequence * 5000)

    assert row.state is InstanceState.SET_ASIDE


def test_length_beyond_the_end_is_survived(reception: Reception) -> None:
    content = encoded(mammogram(without=["PixelData"]))
    content += b"\xe0\x7f\x10\x00OW\x00\x00\xfe\xff\xff\xff" + b"\x00" * 10

    row = reception.receive(content, sop_instance_uid="1.2.3")

    assert row.state is InstanceState.SET_ASIDE


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Äneas^Ölga".encode("latin-1")),
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        ("ISO_IR 192", "王^小东".encode()),
        ("GB18030", "王^小东".encode("gb18030")),
        ("NONSENSE", b"Doe^Jane"),
        ("ISO_IR 192", b"\xff\xfe\xfd^broken"),
        ("", b"\xc4\xd6\xdc^undeclared"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_image_of_any_character_set_is_registered(
    reception: Reception, log_lines: list[Any], charset: str, name: bytes
) -> None:
    dataset = mammogram(without=["PatientName", "SpecificCharacterSet"])
    head, tail = encoded(dataset), b""
    position = head.index(b"\x10\x00\x20\x00LO")
    head, tail = head[:position], head[position:]
    told = charset.encode() + b" " * (len(charset) % 2)
    written = name + b" " * (len(name) % 2)
    content = b"\x08\x00\x05\x00CS" + len(told).to_bytes(2, "little") + told + head
    content += b"\x10\x00\x10\x00PN" + len(written).to_bytes(2, "little") + written + tail

    row = reception.receive(content, sop_instance_uid=str(dataset.SOPInstanceUID))

    assert row.state is InstanceState.REGISTERED
    assert len(log_lines) == 1


@pytest.mark.filterwarnings("ignore")
def test_values_of_the_wrong_kind_do_not_harm_the_image(reception: Reception) -> None:
    content = encoded(mammogram(PatientSex="F", PatientBirthDate="19470302"))
    content = content.replace(b"19470302", b"02.03.47")

    uid = int(mammogram().SOPInstanceUID.rpartition(".")[2]) - 1
    row = reception.receive(content, sop_instance_uid=f"{STUDY_UID}.1.{uid}")

    assert row.state is InstanceState.REGISTERED


def test_one_bad_object_does_not_keep_the_next_one_waiting(reception: Reception) -> None:
    put(reception.spool, b"garbage")
    put(reception.spool, mammogram())

    reception.registrar.register_all()

    states = [row.state for row in reception.instances()]
    assert states == [InstanceState.SET_ASIDE, InstanceState.REGISTERED]


def test_file_that_is_not_the_spools_is_left_alone(reception: Reception) -> None:
    foreign = reception.spool.root / "incoming" / "notes.txt"
    foreign.write_text("left here by a person")

    reception.registrar.register_all()

    assert foreign.is_file()
    assert reception.instances() == []


def test_reading_a_header_leaves_the_clock_alone(reception: Reception) -> None:
    row = reception.receive(mammogram())

    assert row.received_at != NOW


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def test_empty_data_set_is_no_instance(reception: Reception) -> None:
    row = reception.receive(encoded(Dataset()))

    assert row.reason == "missing-uid"
