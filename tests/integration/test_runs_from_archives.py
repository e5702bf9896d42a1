"""Old studies come out of a real archive by a list, and end in one table."""

import csv
import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from files_on_disk import dicom_file
from node_factory import STUDY_UID, Reception, analysis_row, four_views, mammogram
from ports import free_port
from services import Orthanc, wait_for
from sqlalchemy import select
from started_processes import started_process
from studies_on_disk import node

from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState, StudyState
from dicom_node.studies.ledger.tables import Study
from mammoclip_core.findings import BundleIdentity, StudyFindings
from mammoclip_core.findings_document import to_json

STUDIES = [f"{STUDY_UID}.{number}" for number in range(3)]

pytestmark = pytest.mark.orthanc


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Return an archive with three studies of mammograms, each with a report."""
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"), node_port=free_port()).start()
    for number, uid in enumerate(STUDIES):
        about = {"StudyInstanceUID": uid, "AccessionNumber": f"A{number}"}
        images = four_views(SeriesInstanceUID=f"{uid}.1", **about)
        report = mammogram(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR", without=["PixelData"],
            SeriesInstanceUID=f"{uid}.2", **about,
        )  # fmt: skip
        for image in (*images, report):
            orthanc.send("/instances", dicom_file(image))
    yield orthanc
    orthanc.stop()


@pytest.fixture
def config(tmp_path: Path, archive: Orthanc) -> Path:
    file = tmp_path / "mammoclip.toml"
    file.write_text(
        f"""
[receive]
minimum_free_bytes = 1
[[destinations]]
name = "pacs"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive.dicom_port}
[[destinations]]
name = "web"
kind = "dicomweb"
url = "{archive.dicomweb_url}"
"""
    )
    return file


@pytest.fixture
def reception(config: Path) -> Iterator[Reception]:
    spool = Spool(config.parent / "spool", minimum_free_bytes=1)
    with closing(Database(f"sqlite:///{spool.root / 'ledger.sqlite'}")) as database:
        database.migrate()
        yield Reception(spool, database, ReceiveSettings(minimum_free_bytes=1))


def listed(folder: Path, *accessions: str) -> Path:
    file = folder / "list.csv"
    file.write_text("\n".join(["accession_number", *accessions]) + "\n")
    return file


@pytest.mark.parametrize("by", ["pacs", "web"])
def test_list_is_retrieved_once_and_ends_in_a_table(
    tmp_path: Path, config: Path, reception: Reception, by: str
) -> None:
    wanted = listed(tmp_path, "A0", "A2", "A9")
    command = ["run", wanted, "--archive", by, "--config", config]

    dry = node(*command, "--json")
    first = node(*command, "--retrieve", "--json")
    reception.registrar.register_all()
    table = tmp_path / "scores.csv"
    again = node(*command, "--retrieve", "--table", table, "--json")

    assert json.loads(dry.stdout)["to_retrieve"]["studies"] == 2
    assert [one["fate"] for one in json.loads(first.stdout)["studies"]] == [
        "retrieved",
        "retrieved",
        "not found",
    ]
    assert [one["fate"] for one in json.loads(again.stdout)["studies"]] == [
        "in the node already",
        "in the node already",
        "not found",
    ]
    assert (dry.exit_code, first.exit_code, again.exit_code) == (1, 1, 1)
    assert len(reception.instances()) == 8
    assert {row.state for row in reception.instances()} == {"registered"}
    assert {row.priority for row in reception.rows(Study)} == {0}
    with table.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["line"], row["study"], row["analysis"]) for row in rows] == [
        ("2", STUDIES[0], "not begun"),
        ("3", STUDIES[2], "not begun"),
        ("4", "", "not begun"),
    ]


def test_scores_of_the_newest_analysis_are_in_the_table(
    tmp_path: Path, config: Path, reception: Reception
) -> None:
    wanted = listed(tmp_path, "A1")
    command = ["run", wanted, "--archive", "pacs", "--config", config, "--retrieve"]
    assert node(*command).exit_code == 0
    reception.registrar.register_all()
    findings = to_json(
        StudyFindings(
            study_instance_uid=STUDIES[1],
            bundle=BundleIdentity(
                name="b", version="1", sha256="0" * 64, licence="x", permitted_use="y"
            ),
            settings_sha256="1" * 64,
            images=(),
        )
    )
    with reception.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == STUDIES[1])).one()
        analysis_row(session, study, state=AnalysisState.DONE, findings=findings)

    page = Path(__file__).parents[2] / "docs" / "ways" / "lists.md"
    (line,) = re.findall(r"^mammoclip-node (run .* --pseudonyms)$", page.read_text(), re.MULTILINE)
    words = {"LIST.csv": wanted, "outside.csv": tmp_path / "outside.csv"}
    done = node(*[words.get(word, word) for word in line.split()], "--config", config)

    assert done.exit_code == 0, done.output
    table = (tmp_path / "outside.csv").read_text()
    assert STUDIES[1] not in table
    assert "2.25." in table


def test_bad_lines_are_named_and_decide_by_choice(
    tmp_path: Path, config: Path, reception: Reception
) -> None:
    del reception
    wanted = listed(tmp_path, "A0", "A*", "A1", "A0")
    command = ["run", wanted, "--archive", "pacs", "--config", config]

    refused = node(*command)
    skipped = node(*command, "--skip-bad-lines", "--json")

    assert refused.exit_code == 1
    assert "2 of 4 lines are wrong" in refused.stderr
    assert "line 3: accession_number holds one of" in refused.stderr
    assert json.loads(skipped.stdout)["to_retrieve"]["studies"] == 2


def test_archive_that_is_not_in_the_settings_is_named(
    tmp_path: Path, config: Path, reception: Reception
) -> None:
    del reception
    done = node("run", listed(tmp_path, "A0"), "--archive", "vna", "--config", config)

    assert done.exit_code == 1
    assert "there are: pacs, web" in done.stderr


def test_commands_of_the_documents_do_what_they_say(
    tmp_path: Path, config: Path, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "ways" / "lists.md").read_text(encoding="utf-8")
    section = text.partition("## Pseudonyms")[0]
    commands = re.findall(r"^mammoclip-node (.*)$", section, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    listed(tmp_path, "A0").rename("LIST.csv")

    for command in commands:
        if "--wait" in command:  # which node and workers would do
            reception.registrar.register_all()
            with reception.database.writing() as session:
                (study,) = session.scalars(select(Study))
                study.state = StudyState.SETTLED
        done = node(*command.split(), "--config", config)
        assert done.exit_code == 0, done.output

    assert len(commands) == 3
    assert (tmp_path / "scores.csv").exists()


@pytest.mark.long
def test_run_that_is_killed_twice_fetches_each_object_once(
    tmp_path: Path, config: Path, reception: Reception
) -> None:
    wanted = listed(tmp_path, "A0", "A1", "A2")
    command = ["run", str(wanted), "--archive", "pacs", "--config", str(config), "--retrieve"]
    fetched: list[str] = []
    program = [sys.executable, "-m", "dicom_node.commands.node", *command, "--per-hour", "600"]

    for _ in range(2):
        with started_process(program):
            wait_for(reception.spool.incoming, seconds=60, what="an object is fetched")
        fetched += map(str, reception.spool.incoming())
        reception.registrar.register_all()
    done = node(*command, "--json")
    fetched += map(str, reception.spool.incoming())
    reception.registrar.register_all()

    assert json.loads(done.stdout)["whole"]
    assert len(reception.instances()) == len(fetched) == 12
