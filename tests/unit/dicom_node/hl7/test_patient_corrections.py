"""Updates and merges correct whose the images are, once each, whoever is killed."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from adt import NEW_ID, adt, merge
from node_factory import STUDY_UID, Reception, four_views, put
from ports import free_port
from pydicom.dataset import Dataset
from thread_shortage import ThreadShortage

from dicom_node.errors import OutOfResourcesError
from dicom_node.hl7.correcting import PatientCorrections
from dicom_node.hl7.listener import MOST_CONNECTIONS, Hl7Listener, kept_updates
from dicom_node.hl7.messages import Message
from dicom_node.hl7.mllp import END, framed
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.hl7 import Hl7Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.kept_messages import KeptMessages
from dicom_node.studies.ledger.database import Database


@pytest.fixture
def reception(tmp_path: Path, migrated_ledger: Path) -> Iterator[Reception]:
    """Return a reception with its ledger in SQLite: nothing here is about the database."""
    spool = Spool(tmp_path / "spool")
    (spool.root / "ledger.sqlite").write_bytes(migrated_ledger.read_bytes())
    with closing(Database(f"sqlite:///{spool.root / 'ledger.sqlite'}")) as database:
        yield Reception(spool, database, ReceiveSettings(minimum_free_bytes=1))


@pytest.fixture
def corrections(reception: Reception) -> PatientCorrections:
    settings = Settings(
        spool=reception.spool.root, receive=reception.settings, hl7=Hl7Settings(enabled=True)
    )
    return PatientCorrections(settings, reception.spool, reception.database, lambda: True)


def take(reception: Reception, message: bytes) -> str:
    """Have a message taken, and return how it was acknowledged."""
    listener = Hl7Listener(Hl7Settings(enabled=True), reception.spool.root)
    return Message.parse(listener.answer(message)).field("MSA", 1)


def headers(reception: Reception, study: str = STUDY_UID) -> list[Dataset]:
    """Return the images that count."""
    rows = [row for row in reception.instances() if row.state == "registered"]
    found = [pydicom.dcmread(reception.spool.file(row.place)) for row in rows]
    return [one for one in found if study == one.StudyInstanceUID]


def said(reception: Reception, keyword: str, study: str = STUDY_UID) -> set[str]:
    return {str(one.get(keyword)) for one in headers(reception, study)}


def test_update_corrects_every_study_of_the_patient_and_no_other(
    reception: Reception, corrections: PatientCorrections
) -> None:
    other = f"{STUDY_UID}.5"
    for image in (*four_views(), *four_views(StudyInstanceUID=other, PatientID="OTHER")):
        reception.receive(image)
    pixels = {str(one.SOPInstanceUID): one.PixelData for one in headers(reception)}

    assert take(reception, adt(name="Müller^Zoë")) == "AA"
    corrections.step()
    reception.registrar.register_all()

    assert said(reception, "PatientName") == {"Müller^Zoë"}
    assert said(reception, "PatientBirthDate") == {"19610407"}
    assert len(headers(reception)) == 4
    assert {str(one.SOPInstanceUID): one.PixelData for one in headers(reception)} == pixels
    assert said(reception, "PatientName", other) != {"Müller^Zoë"}
    corrected = [row for row in reception.instances() if row.reason == "corrected"]
    assert len(corrected) == 4
    assert {row.calling_ae_title for row in corrected} == {"SCANNER"}
    assert list(kept_updates(reception.spool.root).waiting()) == []


def test_merge_gives_the_studies_the_surviving_id(
    reception: Reception, corrections: PatientCorrections
) -> None:
    for image in four_views():
        reception.receive(image)

    take(reception, merge())
    corrections.step()
    reception.registrar.register_all()

    assert said(reception, "PatientID") == {NEW_ID}
    take(reception, adt(pid=f"{NEW_ID}^^^KLINIK", name="Neu^Nora"))
    corrections.step()
    reception.registrar.register_all()
    assert said(reception, "PatientName") == {"Neu^Nora"}


def test_message_that_says_what_is_known_changes_nothing(
    reception: Reception, corrections: PatientCorrections
) -> None:
    for image in four_views():
        reception.receive(image)
    take(reception, adt())
    corrections.step()
    reception.registrar.register_all()

    take(reception, adt())
    corrections.step()

    assert reception.spool.incoming() == []


def test_step_killed_in_the_middle_is_done_again_to_the_same_end(
    reception: Reception, corrections: PatientCorrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image in four_views():
        reception.receive(image)
    take(reception, merge())

    class KilledError(BaseException):
        pass

    count = 0
    original = PatientCorrections._correct

    def killed(self: PatientCorrections, *arguments: object) -> bool:
        nonlocal count
        count += 1
        if count == 3:
            raise KilledError
        return original(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(PatientCorrections, "_correct", killed)
        with pytest.raises(KilledError):
            corrections.step()
    reception.registrar.register_all()
    for _ in range(2):
        corrections.step()
        reception.registrar.register_all()

    assert said(reception, "PatientID") == {NEW_ID}
    assert len(headers(reception)) == 4
    assert list(kept_updates(reception.spool.root).waiting()) == []


def test_update_waits_for_images_that_came_before_it(
    reception: Reception, corrections: PatientCorrections
) -> None:
    for image in four_views():
        put(reception.spool, image)
    take(reception, adt())

    corrections.step()
    assert len(list(kept_updates(reception.spool.root).waiting())) == 1
    reception.registrar.register_all()
    corrections.step()
    reception.registrar.register_all()

    assert said(reception, "PatientName") == {"Richtig^Rita^Maria^Dr"}


def test_image_of_the_same_id_of_another_issuer_stays(
    reception: Reception, corrections: PatientCorrections
) -> None:
    for image in four_views(IssuerOfPatientID="PRAXIS"):
        reception.receive(image)

    take(reception, adt())
    corrections.step()

    assert reception.spool.incoming() == []


def test_message_is_acknowledged_only_once_it_is_on_disk(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutOfResourcesError("the spool cannot be used: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(KeptMessages, "keep", full)
        assert take(reception, adt()) == "AE"
    assert take(reception, b"MSH|^~\\&|x") == "AR"
    assert take(reception, adt("A01")) == "AA"
    assert list(kept_updates(reception.spool.root).waiting()) == []
    assert take(reception, adt()) == "AA"
    (kept,) = kept_updates(reception.spool.root).waiting()
    assert kept.content == adt()


def hears_nothing(line: socket.socket) -> bool:
    """Return whether the other side has closed, by an end or a reset."""
    try:
        return line.recv(1000) == b""
    except ConnectionError:
        return True


def test_connection_for_which_there_is_no_thread_is_closed_and_the_next_is_heard(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Hl7Listener(Hl7Settings(enabled=True, port=free_port()), reception.spool.root)
    listener.start()
    shortage = ThreadShortage(monkeypatch, "")
    try:
        for _ in range(MOST_CONNECTIONS + 1):
            with socket.create_connection(("127.0.0.1", listener._settings.port), 10) as line:
                assert hears_nothing(line)
        shortage.is_on = False
        with socket.create_connection(("127.0.0.1", listener._settings.port), 10) as line:
            line.sendall(framed(adt()))
            assert line.recv(1000)
    finally:
        listener.stop()


def test_peers_talk_over_a_connection_and_others_are_not_heard(reception: Reception) -> None:
    settings = Hl7Settings(enabled=True, port=free_port(), maximum_message_bytes=5000)
    listener = Hl7Listener(settings, reception.spool.root)
    listener.start()
    try:
        with socket.create_connection(("127.0.0.1", settings.port), timeout=10) as line:
            for number in range(3):
                line.sendall(framed(adt(control=f"M{number}")))
                answer = b""
                while not answer.endswith(END):
                    answer += line.recv(1000)
                assert f"MSA|AA|M{number}".encode() in answer
            line.sendall(b"\x0b" + b"x" * 20_000)
            assert hears_nothing(line)
    finally:
        listener.stop()
    assert len(list(kept_updates(reception.spool.root).waiting())) == 3
    elsewhere = Hl7Listener(Hl7Settings(networks=("10.0.0.0/8",)), reception.spool.root)
    assert not elsewhere._may_call("127.0.0.1")
    assert elsewhere._may_call("::ffff:10.1.2.3")
