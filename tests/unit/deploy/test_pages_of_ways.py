"""Every command of the pages on ways in and out does what its page says."""

import re
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path

import documents
import pytest
from ports import free_port
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner
from unit.dicom_node.node_factory import analysis_row, delivery_row, instance_row, study_row
from unit.dicom_node.objects_factory import finding, image_of, mammogram, marker_mask, study_of
from unit.dicom_node.send.hostile import serving

from dicom_node.commands.node import app
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.own_spool import own_spool
from mammoclip_core.findings_document import to_json

WAYS = documents.ROOT / "docs" / "ways"
NAMES = ("assessments.md", "fhir.md", "hl7.md", "scores.md", "webhook.md")
PAGES = [*(WAYS / name for name in NAMES), documents.ROOT / "docs" / "routing.md"]
"""The ways out, what readers say of results, and the page on rules and deliveries."""
NEEDS_SERVICES = {"check"}
"""What asks broker, node and workers too: its own tests start them."""

COMMANDS = [
    pytest.param(shlex.split(line)[1:], id=f"{page.stem}: {line}")
    for page in PAGES
    for block in documents.blocks_of(page, "")
    for line in block.splitlines()
    if line.startswith("mammoclip-node ")
]

STAND_FOR = {"UID": "1.2.1", "WHAT": "node", "NAME": "archive", "FOLDER": "study"}
NAMED_ONLY = {"canary", "check", "erase", "retry", "run", "serve", "submit --ae-title"}
"""What a sentence speaks of without all that it needs, or what needs services; run elsewhere."""
IN_SENTENCES = sorted(
    {
        span.removeprefix("mammoclip-node ")
        for page in [documents.ROOT / "docs" / "routing.md", *WAYS.glob("*.md")]
        for span in documents.spans_of(page)
        if span.startswith("mammoclip-node ")
    }
    - NAMED_ONLY
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with settings, a ledger of two studies, and the table of a page."""
    tmp_path = tmp_path_factory.mktemp("prepared")
    database = Database(f"sqlite:///{tmp_path / 'spool' / 'ledger.sqlite'}")
    spool = Spool(tmp_path / "spool")
    database.migrate()
    findings = to_json(study_of(image_of(mammogram(), finding(marker_mask(60, 150)))))
    with database.writing() as session:
        for number, rule in ((1, "default"), (2, "flagged")):
            study = study_row(session, f"1.2.{number}")
            place = f"studies/{number}.dcm"
            instance_row(session, study, place=place)
            done = analysis_row(
                session,
                study,
                state=AnalysisState.DONE,
                findings=findings,
                rule=rule,
                finished_at=datetime(2026, 11, 7, tzinfo=UTC),
            )
            delivery_row(
                session,
                done,
                destination="ris",
                state=DeliveryState.REFUSED,
                reason="1 object: acknowledged with AR",
            )
            delivery_row(session, done, destination="pacs" if number == 1 else "archive")
            header = mammogram(AccessionNumber=f"KH-2026-471{number}")
            file = spool.file(place)
            file.parent.mkdir(parents=True, exist_ok=True)
            header.file_meta = FileMetaDataset()
            header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            header.save_as(file, enforce_file_format=True)
    shutil.copytree(spool.root / "studies", tmp_path / "study")
    own_spool(spool, database)
    installation_key(spool, database)
    database.close()
    (tmp_path / "mammoclip.toml").write_text(
        'spool = "spool"\n[[destinations]]\nname = "ris"\nkind = "hl7"\nhost = "127.0.0.1"\n'
        f"port = {free_port()}\n"
        '[[destinations]]\nname = "archive"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\n'
        '[bundles.second]\nfolder = "bundles/second"\n'
    )
    (table,) = [
        one
        for one in documents.blocks_of(WAYS / "assessments.md", "")
        if one.startswith("accession_number,")
    ]
    (tmp_path / "truths.csv").write_text(table)
    return tmp_path


@pytest.fixture
def site(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the folder, in which the commands run."""
    folder = tmp_path / "site"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


def test_pages_have_commands() -> None:
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("arguments", COMMANDS)
def test_command_of_a_page_works(site: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)

    if arguments[0] in NEEDS_SERVICES:
        assert "destination ris" in result.output
        return
    assert result.exit_code == 0, result.output


@pytest.mark.long
@pytest.mark.parametrize("line", IN_SENTENCES)
def test_command_in_a_sentence_works(site: Path, line: str) -> None:
    del site
    if line.startswith("resume"):
        CliRunner().invoke(app, ["pause", STAND_FOR["WHAT"], "--reason", "to be resumed"])

    result = CliRunner().invoke(app, [STAND_FOR.get(one, one) for one in shlex.split(line)])

    assert result.exit_code == 0, result.output


def test_check_says_that_a_receiver_answers(site: Path) -> None:
    with serving(lambda connection, _over: connection.recv(1)) as port:
        settings = site / "mammoclip.toml"
        settings.write_text(re.sub(r"port = \d+", f"port = {port}", settings.read_text()))

        result = CliRunner().invoke(app, ["check", "--before-start"])

    assert re.search(r"^ok +destination ris", result.output, re.MULTILINE), result.output


def test_every_page_is_named_by_the_page_on_routing() -> None:
    routing = documents.text_of(documents.ROOT / "docs" / "routing.md")

    assert [page.name for page in PAGES[:-1] if f"(ways/{page.name})" not in routing] == []
