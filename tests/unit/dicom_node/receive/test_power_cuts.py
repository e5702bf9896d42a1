"""What was answered with 0x0000 is in the spool, whatever a power cut leaves of the disk."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from listener_factory import Listening, store
from node_factory import encoded, mammogram
from power_cuts import Content, Recording, recording

from dicom_node.spool.files.written_once import write_once
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.kept_messages import KeptMessages
from dicom_node.spool.names import study_place


def objects(count: int) -> list[tuple[str, bytes]]:
    made = [mammogram() for _ in range(count)]
    return [(str(dataset.SOPInstanceUID), encoded(dataset)) for dataset in made]


def waiting(left: Content, folder: Path) -> list[bytes]:
    """Return what the next node finds in the spool that a power cut has left."""
    for name, content in left.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    spool = Spool(folder)
    with spool.owned():
        return [spool.incoming_file(receipt).read_bytes() for receipt in spool.incoming()]


def received(listening: Listening, spool: Spool, record: Recording) -> list[bytes]:
    """Send objects over two associations at once, and record when each was answered."""
    _, port = listening(spool)

    def send(sop_instance_uid: str, content: bytes) -> bytes:
        assert store(port, content, uid=sop_instance_uid) == 0x0000
        record.answered(content)
        return content

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(lambda one: send(*one), objects(4)))


def losses(record: Recording, sent: list[bytes], scratch: Path) -> list[str]:
    """Return what is wrong after any power cut: an answered object lost, or half of one."""
    found, seen = [], set()
    for answered, states in record.cuts():
        for left in states:
            state = (tuple(answered), frozenset(left.items()))
            if state in seen:
                continue
            seen.add(state)
            present = waiting(left, scratch / str(len(seen)))
            found += ["lost" for one in answered if not any(map(one.__eq__, map(_object, present)))]
            found += ["half" for one in present if _object(one) not in sent]
    assert len(seen) > 10, "there were power cuts to try"
    return found


def _object(file: bytes) -> bytes:
    return file[144 + int.from_bytes(file[140:144], "little") :]


def test_answered_objects_are_there_after_every_power_cut(
    listening: Listening, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(spool.root, monkeypatch) as record:
        sent = received(listening, spool, record)

    assert losses(record, sent, tmp_path / "cuts") == []


@pytest.mark.parametrize("left_out", [("folder", "lost"), ("file", "half")])
def test_without_a_flush_there_is_a_power_cut_that_loses_an_answered_object(
    listening: Listening,
    spool: Spool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left_out: tuple[str, str],
) -> None:
    flush, loss = left_out
    with recording(spool.root, monkeypatch, without=flush) as record:
        sent = received(listening, spool, record)

    assert loss in losses(record, sent, tmp_path / "cuts")


def test_registered_object_is_in_one_of_its_places_after_every_power_cut(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = [spool.receipts.new("a" * 16) for _ in range(3)]
    with recording(spool.root, monkeypatch) as record:
        for number, receipt in enumerate(receipts):
            spool.keep([b"content %d" % number], receipt)
            record.answered(b"content %d" % number)
        for number, receipt in enumerate(receipts):
            spool.file_away(receipt, study_place(receipt, f"1.2.{number // 2}"))

    for answered, states in record.cuts():
        for left in states:
            kept = [one for name, one in left.items() if not name.startswith("partial/")]
            assert set(answered) <= set(kept)


def test_result_outlives_a_power_cut_where_the_folder_was_made_by_a_worker_killed_at_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(spool.root, monkeypatch) as record:
        (spool.root / "results/1").mkdir()  # and not flushed
        place = spool.keep_result([b"a result"], 1, 2, "report")

    assert all(left[place] == b"a result" for left in left_at_the_end(record))


def test_image_outlives_a_power_cut_where_the_folder_was_made_by_a_node_killed_at_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = spool.receipts.new("a" * 16)
    place = study_place(receipt, "1.2.3")
    with recording(spool.root, monkeypatch) as record:
        spool.keep([b"an image"], receipt)
        (spool.root / place).parent.mkdir()  # and not flushed
        spool.file_away(receipt, place)

    assert all(b"an image" in left.values() for left in left_at_the_end(record))


def test_kept_message_outlives_a_power_cut_in_a_folder_that_was_not_there(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(spool.root, monkeypatch) as record:
        KeptMessages(spool.root, "orders", most=9, what="orders").keep({}, b"an order")

    for left in left_at_the_end(record):
        assert any(content.endswith(b"an order") for content in left.values())


def test_key_that_a_process_killed_at_once_wrote_is_flushed_by_whoever_reads_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(spool.root, monkeypatch) as record:
        file = spool.root / "partial/key"
        with file.open("wb") as stream:
            stream.write(b"first")
            stream.flush()
            os.fsync(stream.fileno())
        (spool.root / "key").hardlink_to(file)
        write_once(spool, "key", b"second")

    assert all(left["key"] == b"first" for left in left_at_the_end(record))


def left_at_the_end(record: Recording) -> list[Content]:
    """Return all that a power cut may leave when everything was done."""
    return list(record.cuts())[-1][1]


def test_spool_is_readable_after_a_power_cut_at_any_moment_of_its_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")
    with recording(spool.root, monkeypatch) as record, spool.owned():
        pass

    states = {frozenset(left.items()) for _, states in record.cuts() for left in states}
    assert len(states) > 10, "there were power cuts to try"
    for number, left in enumerate(states):
        again = Spool(tmp_path / f"cut-{number}")
        for name, content in left:
            (again.root / name).write_bytes(content)
        with again.owned():
            again.require_readable()


def test_folders_of_a_new_spool_are_on_disk_before_an_object_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(tmp_path, monkeypatch) as record:
        spool = Spool(tmp_path / "site" / "spool")
        spool.keep([b"content"], spool.receipts.new("a" * 16))
        record.answered(b"content")

    for answered, states in record.cuts():
        assert all(set(answered) <= set(left.values()) for left in states)
