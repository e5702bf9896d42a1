"""Each command of the pages about ways is run by a test, and those of a scanner here."""

import re
import subprocess
import sys
from pathlib import Path

import documents
import pytest
from files_on_disk import on_disk
from node_factory import four_views
from ports import free_port
from services import require_program

from dicom_node.receive.listener import Listener
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool

WAYS = documents.ROOT / "docs" / "ways"
TESTS = documents.ROOT / "tests"
RUN_BY = {
    "changes.md": {},
    "dicom_store.md": {
        "echoscu": "integration/test_documented_ways.py",
        "storescu": "integration/test_documented_ways.py",
    },
    "dicomweb.md": {"dicomweb_client": "unit/dicom_node/dicomweb/test_web_server.py"},
    "files.md": {
        "inspect": "unit/dicom_node/commands/test_folders.py",
        "submit": "unit/dicom_node/commands/test_folders.py",
    },
    "lists.md": {
        "run": "integration/test_runs_from_archives.py",
        "render": "unit/dicom_node/commands/test_pseudonymised_results.py",
    },
    "orthanc.md": {
        "modalities": "acceptance/test_study_as_archive_forwards_it.py",
        "mammoclip/studies": "integration/test_orthanc_plugin.py",
    },
    "polls.md": {},
    "announcements.md": {},
    "worklist.md": {},
    **{
        page: {"mammoclip-node": "unit/deploy/test_pages_of_ways.py"}
        for page in ("assessments.md", "fhir.md", "hl7.md", "scores.md", "webhook.md")
    },
}
"""Of each page a word of each command, and the test that takes it from there and runs it."""


@pytest.mark.parametrize("page", sorted(path.name for path in WAYS.glob("*.md")))
def test_every_command_of_a_page_is_run_by_a_test(page: str) -> None:
    for command in commands_of(page):
        tests = [test for word, test in RUN_BY[page].items() if word in command]
        assert tests, f"no test runs: {command}"
        assert page in (TESTS / tests[0]).read_text(encoding="utf-8")


def test_every_way_has_its_page_in_the_overview() -> None:
    overview = documents.text_of(documents.ROOT / "docs" / "routing.md")

    assert set(re.findall(r"\(ways/(\w+\.md)\)", overview)) == set(RUN_BY)


def test_scanner_reaches_the_node_by_the_documented_commands(tmp_path: Path) -> None:
    settings = ReceiveSettings(port=free_port(), minimum_free_bytes=1)
    spool = Spool(tmp_path / "spool")
    listener = Listener(settings, spool)
    folder = on_disk(tmp_path / "study", *four_views())
    listener.start()
    try:
        for command in commands_of("dicom_store.md"):
            line = command.replace("node.example 11112", f"127.0.0.1 {settings.port}")
            line = line.replace("FOLDER", str(folder))
            program, *arguments = line.split()
            found = sys.executable if program.endswith("python") else require_program(program)
            subprocess.run([found, *arguments], check=True, capture_output=True, timeout=60)
    finally:
        listener.stop()
    assert len(spool.incoming()) == 4


def commands_of(page: str) -> list[str]:
    """Return the lines of a page's unnamed blocks that call a program."""
    text = "\n".join(documents.blocks_of(WAYS / page, "")).replace("\\\n", " ")
    programs = r"^(?:mammoclip-node|curl|echoscu|\.venv/bin/\w+) .*$"
    return re.findall(programs, text, re.MULTILINE)
