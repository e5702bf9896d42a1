"""The scores of all studies as a table, by time and by rule."""

import csv
import json
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from node_factory import analysis_row, study_row
from objects_factory import NEGATIVE, finding, image_of, mammogram, marker_mask, study_of
from pyarrow import parquet
from sqlalchemy import insert
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.queries.answers import standing_answers
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Study
from mammoclip_core.findings_document import to_json

MORNING = datetime(2026, 11, 1, 6, tzinfo=UTC)
FINDINGS = to_json(
    study_of(
        image_of(mammogram("MLO"), finding(marker_mask(60, 150)), NEGATIVE),
        image_of(mammogram("CC"), NEGATIVE),
    )
)
"""Three scores."""

pytestmark = pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)],
    indirect=True,
)


def answer(database: Database, uid: str, at: datetime = MORNING, **columns: object) -> None:
    values = {
        "state": AnalysisState.DONE,
        "findings": FINDINGS,
        "finished_at": at,
        "rule": "default",
        **columns,
    }
    with database.writing() as session:
        analysis_row(session, study_row(session, uid), **values)


@pytest.fixture
def config(tmp_path: Path, database: Database) -> Path:
    url = database.engine.url.render_as_string(hide_password=False)
    file = tmp_path / "mammoclip.toml"
    file.write_text(f'spool = "spool"\n[ledger]\nurl = "{url}"\n[results]\ntime_zone = "UTC"\n')
    return file


def run(config: Path, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["scores", "--config", str(config), "--out", str(out), *arguments]
    )


def studies_in(out: Path) -> set[str]:
    with out.open(newline="") as stream:
        return {row["study"] for row in csv.DictReader(stream)}


def test_each_score_is_a_row_of_every_kind_of_table(
    config: Path, database: Database, tmp_path: Path
) -> None:
    answer(database, "1.2", rule="screening", result_rules="flagged, urgent", revision=2)

    for suffix in ("csv", "jsonl", "parquet"):
        assert "3 rows in" in run(config, tmp_path / f"t.{suffix}").output

    rows = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    with (tmp_path / "t.csv").open(newline="") as stream:
        cells = list(csv.DictReader(stream))
    assert len(rows) == len(lines) == len(cells) == 3
    assert {
        "study": "1.2",
        "answered_at": "2026-11-01T06:00:00+00:00",
        "revision": 2,
        "rule": "screening",
        "result_rules": "flagged, urgent",
        "finding": "mass",
        "score": 0.83,
        "view_position": "MLO",
        "bundle": "demonstration",
    }.items() <= lines[0].items()
    assert [one["score"] for one in rows] == [float(one["score"]) for one in cells]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), {"1.1", "1.2", "1.3"}),
        (("--since", "2026-11-02"), {"1.2", "1.3"}),
        (("--until", "2026-11-02"), {"1.1"}),
        (("--since", "2026-11-02T06:00", "--until", "2026-11-03T06:00"), {"1.2"}),
        (("--since", "2026-11-03T07:00+01:00"), {"1.3"}),
        (("--rule", "screening"), {"1.2"}),
        (("--rule", "flagged"), {"1.2", "1.3"}),
        (("--rule", "flag"), set()),
        (("--rule", "f_agged"), set()),
        (("--rule", "flagged", "--since", "2026-11-03"), {"1.3"}),
    ],
)
def test_rows_are_chosen_by_time_and_rule(
    config: Path, database: Database, tmp_path: Path, arguments: tuple[str, ...], found: set[str]
) -> None:
    answer(database, "1.1")
    answer(
        database, "1.2", MORNING + timedelta(days=1), rule="screening", result_rules="a, flagged"
    )
    answer(database, "1.3", MORNING + timedelta(days=2), result_rules="flagged")
    out = tmp_path / "scores.csv"

    assert run(config, out, *arguments).exit_code == 0

    assert studies_in(out) == found


def test_standing_answers_alone_are_written(
    config: Path, database: Database, tmp_path: Path
) -> None:
    answer(database, "1.1", state=AnalysisState.SUPERSEDED)
    answer(database, "1.2", state=AnalysisState.FAILED, findings=None)
    answer(database, CANARY_STUDY)
    answer(database, "1.4")
    out = tmp_path / "scores.csv"

    run(config, out)

    assert studies_in(out) == {"1.4"}


def test_answer_that_cannot_be_read_is_a_row_with_the_reason(
    config: Path, database: Database, tmp_path: Path
) -> None:
    answer(database, "1.1", findings='{"format": 99}')
    answer(database, "1.2")
    out = tmp_path / "scores.jsonl"

    assert "4 rows" in run(config, out).output

    first = json.loads(out.read_text().splitlines()[0])
    assert first["study"] == "1.1"
    assert "cannot be read" in first["reason"]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("scores.xlsx", (), "a table's name ends with"),
        ("none/scores.csv", (), "there is no such folder"),
        ("scores.csv", ("--since", "yesterday"), "yesterday is no date"),
    ],
)
def test_mistakes_are_told_in_one_line(
    config: Path, tmp_path: Path, name: str, arguments: tuple[str, ...], words: str
) -> None:
    result = run(config, tmp_path / name, *arguments)

    assert result.exit_code == 1
    assert words in result.output
    assert not (tmp_path / name).exists()


def many_answers(database: Database, count: int, findings: str = FINDINGS) -> None:
    with database.writing() as session:
        for first in range(0, count, 1000):
            numbers = range(first + 1, min(first + 1001, count + 1))
            study = {"state": "settled", "patient_digest": "", "version": 0, "revision": 1}
            study |= {"first_received_at": MORNING, "last_received_at": MORNING, "remark": ""}
            session.execute(
                insert(Study),
                [study | {"id": one, "study_instance_uid": f"1.2.{one}"} for one in numbers],
            )
            done = {"state": AnalysisState.DONE, "findings": findings, "revision": 1, "version": 1}
            done |= {"due_at": MORNING, "created_at": MORNING, "finished_at": MORNING}
            done |= {"lease_holder": "", "reason": "", "bundle": "", "attempts": 1}
            session.execute(insert(Analysis), [done | {"study_id": one} for one in numbers])


def test_answers_are_held_a_few_at_a_time(database: Database) -> None:
    many_answers(database, 600, "x" * 40_000)

    tracemalloc.start()
    try:
        count = sum(1 for _ in standing_answers(database))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count == 600
    assert peak < 600 * 40_000 / 2


WITH_MEMORY = """
import resource, sys
from dicom_node.commands.node import app
app(sys.argv[1:], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.long
@pytest.mark.timeout(900)
def test_million_rows_are_written_in_bounded_memory(
    database: Database, config: Path, tmp_path: Path
) -> None:
    scores = [finding(name=f"finding_{one}", above_threshold=False) for one in range(10)]
    views = [(view, side) for view in ("CC", "MLO") for side in ("L", "R")]
    findings = to_json(study_of(*(image_of(mammogram(*one), *scores) for one in views)))
    many_answers(database, 25_000, findings)
    out = tmp_path / "scores.parquet"

    command = [sys.executable, "-c", WITH_MEMORY, "scores", "--config", config, "--out", out]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    said, kilobytes = printed.split("\n")[:2]
    assert said.startswith("1000000 rows in")
    assert int(kilobytes) < 600_000
