"""What the node was told to keep is on disk when the call returns, whatever a power cut leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from power_cuts import Content, recording

from dicom_node.audit.audit_file import AuditFile
from dicom_node.commands.operate import erase
from dicom_node.fetch.pace import StartsFile
from dicom_node.fetch.poll_state import PollState, PollStateFile
from dicom_node.spool.back_up import BackUp, BackUpError, is_restored
from dicom_node.spool.draining import begin_draining, end_draining
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.removal.erasing import Holding
from mammoclip_core.many_studies.tables import write_table


def write_poll_state(root: Path) -> None:
    PollStateFile(root, "pacs").write(PollState(kind="new", cursor="7"))


def note_start(root: Path) -> None:
    StartsFile(root, "pacs").space(0, lambda _: None)


def drain(root: Path) -> None:
    begin_draining(root, by="ward", reason="moved")


def record_erasing(root: Path) -> None:
    study = Holding(
        study_id=1,
        study_instance_uid="1.2.3",
        images=1,
        committed=0,
        set_aside=0,
        results=0,
        size_bytes=9,
        delivered_to=(),
        under_way="",
    )
    erase._record(Spool(root), study, "begun")


def audit(root: Path) -> None:
    AuditFile(root).append({"act": "look"})


def audit_where_a_killed_process_has_begun(root: Path) -> None:
    (root / "audit.jsonl").touch()  # and not flushed
    audit(root)


def write_results(root: Path) -> None:
    write_table([{"study": "1.2"}], root / "results.jsonl", root / "part.jsonl")


@pytest.mark.parametrize(
    ("keep", "file"),
    [
        (write_poll_state, "polls/pacs.json"),
        (note_start, "runs/pacs.start"),
        (drain, "draining.json"),
        (record_erasing, "erased.jsonl"),
        (audit, "audit.jsonl"),
        (audit_where_a_killed_process_has_begun, "audit.jsonl"),
        (write_results, "results.jsonl"),
    ],
)
def test_what_was_written_outlives_every_power_cut(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, keep: Callable[[Path], None], file: str
) -> None:
    with recording(spool.root, monkeypatch) as record:
        keep(spool.root)

    written = (spool.root / file).read_bytes()
    for left in list(record.cuts())[-1][1]:
        assert left.get(file) == written != b""


def test_node_that_was_told_to_receive_again_does_after_every_power_cut(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(spool.root, monkeypatch) as record:
        drain(spool.root)
        end_draining(spool.root)

    assert all("draining.json" not in left for left in list(record.cuts())[-1][1])


def test_back_up_is_whole_or_known_to_be_half_after_every_power_cut(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("studies/1.2/a.dcm", "hl7/1.message", "announced/2.json", "erased.jsonl"):
        (spool.root / place).parent.mkdir(exist_ok=True)
        (spool.root / place).write_text(place)
    copies = tmp_path / "copies"
    copies.mkdir()
    with recording(copies, monkeypatch) as record:
        back_up = BackUp(copies / "monday/first")
        back_up.copy_spool(spool.root)
        back_up.finish()

    states = {frozenset(left.items()) for _, states in record.cuts() for left in states}
    for number, left in enumerate(states):
        folder = tmp_path / f"cut-{number}"
        write_to(folder, dict(left))
        restored = folder / "monday/first"
        if any(file.is_file() for file in restored.rglob("*")):
            assert is_whole(restored), sorted(dict(left))
    assert all(is_whole_in(left) for left in list(record.cuts())[-1][1])


def is_whole(folder: Path) -> bool:
    """Return whether a back-up is restored with everything, or refused as one that is half."""
    try:
        return is_restored(folder) and (folder / "studies/1.2/a.dcm").read_text() != ""
    except BackUpError:
        return True


def is_whole_in(left: Content) -> bool:
    files = {name.removeprefix("monday/first/"): content for name, content in left.items()}
    return (
        json.loads(files.get("back-up.json", b"null")) == {}
        and "back-up.unfinished" not in files
        and {"studies/1.2/a.dcm", "hl7/1.message", "announced/2.json", "erased.jsonl"} < set(files)
    )


def write_to(folder: Path, left: Content) -> None:
    for name, content in left.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
