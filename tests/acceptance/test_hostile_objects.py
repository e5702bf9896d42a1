"""Objects made to harm, sent to a running node: each ends as it should, and harms nobody else."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hostile_objects import Hostile, hostile_objects, image
from plain_sender import NOT_ACCEPTED, plain_sender
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for
from sqlalchemy import select
from unit.dicom_node.node_factory import FOR_PRESENTATION, PATIENT_WORDS

from dicom_node.receive.registration.header_child import MAXIMUM_MEMORY_BYTES
from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject

pytestmark = pytest.mark.timeout(300)

CASES = dict(hostile_objects())
NODE_BYTES = 700_000_000
"""What the node's own process may take at most, whatever is sent; idle it has 120 MB."""


@dataclass
class Aftermath:
    """What became of everything that was sent to a node, with a good study in the midst."""

    site: Site
    good_study: str
    statuses: dict[str, int | str] = field(default_factory=dict)
    rows: list[Instance] = field(default_factory=list)
    analyses: list[Analysis] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)

    def rows_of(self, case: Hostile) -> list[Instance]:
        digest = hashlib.sha256(case.content).hexdigest()
        return [row for row in self.rows if row.content_sha256 == digest]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Aftermath]:
    site = Site(tmp_path_factory.mktemp("site"), bundle)
    good = datasets_of(FILM)
    with running(site, "archive", "broker", "node", "worker"):
        aftermath = Aftermath(site, str(good[0].StudyInstanceUID))
        names = list(CASES)
        for name in names[: len(names) // 2]:
            aftermath.statuses[name] = sent(site, CASES[name])
        assert all_stored(send(good, site.node_port))
        for name in names[len(names) // 2 :]:
            aftermath.statuses[name] = sent(site, CASES[name])
        wait_for(lambda: not waiting(site), seconds=120, what="everything is registered")
        wait_for(lambda: not open_analyses(site), seconds=120, what="everything is analysed")
        site.wait_for_condition(aftermath.good_study, "delivered")
        aftermath.rows, aftermath.analyses = ledger(site, Instance), ledger(site, Analysis)
        aftermath.peaks = peaks(site)
        yield aftermath


def sent(site: Site, case: Hostile) -> int | str:
    with plain_sender(site.node_port, FOR_PRESENTATION, case.syntax, case.calling) as sender:
        return sender.store(case.content, case.uid)


def waiting(site: Site) -> list[Path]:
    return list((site.folder / "spool/incoming").iterdir())


def ledger(site: Site, table: type[Any]) -> list[Any]:
    database = Database(load_settings(site.config).ledger_url)
    try:
        with database.reading() as session:
            return list(session.scalars(select(table)))
    finally:
        database.close()


def open_analyses(site: Site) -> list[Analysis]:
    undecided = {AnalysisState.DUE, AnalysisState.RUNNING}
    studies = {row.study_id for row in ledger(site, Instance) if row.state == "registered"}
    rows = ledger(site, Analysis)
    decided = {row.study_id for row in rows if row.state not in undecided}
    return sorted(studies - decided - {None})


def peaks(site: Site) -> dict[str, int]:
    """Return the largest resident size of the node's processes so far, by their module."""
    assert site.node.process is not None
    pids, found = [site.node.process.pid], {}
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children").parent.parent.glob("*/children")
        pids += [int(child) for file in children for child in file.read_text().split()]
        size = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        found[f"{pid} {' '.join(words[1:4])}"] = int(size[1]) * 1024 if size else 0
    return found


@pytest.mark.parametrize("name", CASES)
def test_hostile_object_ends_as_it_should(aftermath: Aftermath, name: str) -> None:
    case, status = CASES[name], aftermath.statuses[name]
    rows = aftermath.rows_of(case)

    if status != 0x0000:
        assert "refused" in case.outcomes
        assert rows == []
    else:
        assert rows
        assert {row.reason or row.state.value for row in rows} <= case.outcomes


def test_good_study_in_the_midst_is_delivered(aftermath: Aftermath) -> None:
    assert aftermath.site.summary(aftermath.good_study).condition == "delivered"


def test_node_goes_on_within_its_memory(aftermath: Aftermath) -> None:
    aftermath.site.node.require_alive()
    assert max(aftermath.peaks.values()) < NODE_BYTES
    readers = [size for name, size in aftermath.peaks.items() if "header_child" in name]
    assert readers
    assert max(readers) < MAXIMUM_MEMORY_BYTES


def test_nothing_is_written_outside_of_the_spool(aftermath: Aftermath) -> None:
    folder = aftermath.site.folder
    spool, archive = folder / "spool", folder / "archive"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "archive", "orthanc.log", "broker", "broker.log", "mammoclip.toml", "node.log",
        "orthanc.json", "spool", "worker.log",
    }  # fmt: skip
    assert not list(Path("/tmp").glob("escaped*"))
    assert not list(folder.parent.glob("*escaped*"))
    stored = [path for path in spool.rglob("*") if path.is_file() and path.suffix == ".dcm"]
    assert all(re.fullmatch(r"[0-9a-z_.-]+", path.name) for path in stored)
    assert archive.is_dir()


def test_no_stored_file_begins_as_a_program(aftermath: Aftermath) -> None:
    files = [aftermath.site.folder / "spool" / row.place for row in aftermath.rows if row.place]

    assert files
    assert all(file.read_bytes()[:132] == bytes(128) + b"DICM" for file in files)


def test_worker_states_why_it_cannot_show_an_image(aftermath: Aftermath) -> None:
    cases = [case for name, case in CASES.items() if re.match(r"A(10|11|12) ", name)]
    studies = {row.study_id for case in cases for row in aftermath.rows_of(case)}
    rows = [row for row in aftermath.analyses if row.study_id in studies]

    assert rows
    assert {row.state for row in rows} == {AnalysisState.FAILED}
    assert all("no image could be analysed" in row.reason for row in rows)


def test_another_content_under_a_known_uid_is_set_aside(aftermath: Aftermath) -> None:
    first, uid = image(9001)
    other, _ = image(9001, Rows=2)
    site = aftermath.site

    for calling, content in (("ROOM1", first), ("ROOM2", other)):
        case = Hostile(content, frozenset(), uid, calling=calling)
        assert sent(site, case) == 0x0000
        wait_for(lambda: not waiting(site), seconds=60, what="it is registered")

    rows = [row for row in ledger(site, Instance) if row.sop_instance_uid == uid.decode()]
    kept = [(row.calling_ae_title, row.state.value, row.reason) for row in rows]
    assert kept == [
        ("ROOM1", "registered", ""),
        ("ROOM2", "set_aside", "same-uid-other-content"),
    ]


def test_altered_result_that_a_stranger_sends_back_is_not_analysed(aftermath: Aftermath) -> None:
    site = aftermath.site

    def of_the_good_study() -> list[int]:  # another test's study may settle meanwhile
        made = {row.analysis_id for row in ledger(site, ResultObject)}
        rows = ledger(site, Analysis)
        studies = {row.study_id for row in rows if row.id in made}
        return [row.id for row in rows if row.study_id in studies]

    before = of_the_good_study()
    results = [
        pydicom.dcmread(site.folder / "spool" / one.place) for one in ledger(site, ResultObject)
    ]
    altered = next(one for one in results if one.Modality == "SR")
    altered.SeriesDescription = "altered"
    anonymous = next(one for one in results if one.Modality == "SEG")
    anonymous.Manufacturer, anonymous.SOPInstanceUID = "Somebody else", "1.2.3.4.5"
    anonymous.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"

    assert all_stored(send([altered, anonymous], site.node_port, calling="STRANGER"))
    wait_for(lambda: not waiting(site), seconds=60, what="it is registered")

    assert of_the_good_study() == before != []
    assert site.summary(aftermath.good_study).condition == "delivered"


def test_text_of_a_sender_reaches_no_terminal_and_no_log(aftermath: Aftermath) -> None:
    site = aftermath.site
    texts = ["<script>alert(1)</script>", "{{7*7}}", "=cmd|'/c'!A1", "\x1b[2J\x1b[31m", "a\r\nb"]
    hostile = {f"{{}}{n}": text for n, text in enumerate(texts)}
    for number, text in enumerate(hostile.values()):
        content, uid = image(
            9100 + number,
            **dict.fromkeys(
                ("PatientName", "StudyDescription", "SeriesDescription", "InstitutionName"), text
            ),
        )
        assert sent(site, Hostile(content, frozenset(), uid)) == 0x0000
    wait_for(lambda: not waiting(site), seconds=60, what="they are registered")

    printed = (
        site.run("studies").stdout + site.run("show", "1.2.826.0.1.3680043.8.498.66.9100").stdout
    )
    printed += site.node.output() + json.dumps(
        site.study_record("1.2.826.0.1.3680043.8.498.66.9103")
    )
    assert not [text for text in texts if text in printed]
    assert not [word for word in PATIENT_WORDS if word in printed]
    assert "\x1b" not in printed


def test_syntax_that_nobody_knows_is_not_negotiated(aftermath: Aftermath) -> None:
    assert aftermath.statuses["A12 private transfer syntax"] == NOT_ACCEPTED
