"""Beside a million studies: how long a page takes by each filter, and the memory of an export."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import requests
import typer
from parts.big_ledger import _NUMBERS
from parts.report import Report, Row, machine, show
from sqlalchemy import text

from dicom_node.serving.child_server import ChildServer
from dicom_node.settings.settings import Settings
from dicom_node.sign_in.roles import Role
from dicom_node.sign_in.tokens import add_token
from dicom_node.studies.ledger.database import Database
from mammoclip_core.findings import (
    BundleIdentity,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    StudyFindings,
)
from mammoclip_core.findings_document import to_json

LIMIT_SECONDS = 0.2
GROWTH_MEGABYTES = 100.0
_PORTION = 100_000
_AT = "datetime('2025-01-01', '+' || (n * 30) || ' seconds') || '.000000'"

# One study in twenty thousand is in a rare state; all others are delivered.
_STATEMENTS = (
    """INSERT INTO studies (id, study_instance_uid, state, version, patient_digest, revision,
        remark, calling_ae_title, first_received_at, last_received_at)
    SELECT n, '1.2.826.0.1.3680043.8.498.9.' || n, 'settled', 6, '', 1,
        CASE WHEN n % 20000 = 1 THEN 'nothing to analyse' ELSE '' END,
        'ROOM' || (n % 5), {at}, {at} FROM ({numbers}) AS numbers""",
    """INSERT INTO study_identifiers (id, study_id, digest, accession_number, patient_id,
        patient_name, birth_date, study_date, accession_key, patient_id_key, name_key)
    SELECT n, n, n, 'ACC' || n, 'PAT' || (n / 3), 'Name' || (n / 3) || '^Given', '19600101',
        '20250101', 'acc' || n, 'pat' || (n / 3), 'name' || (n / 3) || ' given'
    FROM ({numbers}) AS numbers""",
    """INSERT INTO instances (id, receipt, study_id, state, version, reason, detail, place,
        size_bytes, content_sha256, association, received_at, sop_instance_uid, sop_class_uid,
        series_instance_uid, laterality, view_position, presentation_intent,
        calling_ae_title, transfer_syntax_uid, left_out_reason, identifiers_id)
    SELECT n * 2 + k, 'big-' || n || '-' || k, n, 'registered', 1, '', '',
        'studies/' || n || '/' || k || '.dcm', 17000000, '', 'aaaaaaaaaaaaaaaa', {at},
        '1.2.826.0.1.3680043.8.498.9.' || n || '.' || k, '1.2.840.10008.5.1.4.1.1.1.2',
        '1.2.826.0.1.3680043.8.498.9.' || n || '.0', 'L', 'MLO', 'FOR PRESENTATION', 'SCANNER',
        '1.2.840.10008.1.2.1', '', n
    FROM ({numbers}) AS numbers, (SELECT 0 AS k UNION ALL SELECT 1) AS images""",
    """INSERT INTO analyses (id, study_id, revision, state, version, attempts, due_at, lease_holder,
        reason, created_at, finished_at, findings, bundle)
    SELECT n, n, 1, CASE n % 20000 WHEN 2 THEN 'failed' WHEN 3 THEN 'cancelled' WHEN 4 THEN 'due'
        WHEN 5 THEN 'running' ELSE 'done' END, 2, 1, {at}, '', '', {at}, {at},
        '{findings}', 'big 1 00'
    FROM ({numbers}) AS numbers WHERE n % 20000 != 1""",
    """INSERT INTO deliveries (id, analysis_id, destination, state, version, attempts, due_at,
        lease_holder, reason, created_at, finished_at)
    SELECT n, n, 'archive', CASE n % 20000 WHEN 7 THEN 'refused' WHEN 8 THEN 'expired'
        WHEN 9 THEN 'due' WHEN 10 THEN 'held' ELSE 'accepted' END, 2, 1, {at}, '', '', {at}, {at}
    FROM ({numbers}) AS numbers WHERE n % 20000 NOT IN (1, 2, 3, 4, 5, 6)""",
)


def main(
    studies: Annotated[int, typer.Option(min=100, help="Studies in the ledger.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=0, help="Requests of each filter.")] = 11,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Ask a console in its real process for pages of studies.

    Example: python benchmarks/console.py --studies 1000000 --json console.json
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        _console(Path(scratch), studies) as (ask, processor_seconds, peak_bytes),
    ):
        pages = _filters(studies)
        seconds: dict[str, list[float]] = {name: [] for name in pages}
        spent: dict[str, list[float]] = {name: [] for name in pages}
        found = {}
        for _ in range(rounds):
            for name, (method, path, form) in pages.items():  # in turn
                began, before = time.perf_counter(), processor_seconds()
                answer = ask(method, path, form)
                seconds[name].append(time.perf_counter() - began)
                spent[name].append(processor_seconds() - before)
                assert answer.status_code == 200, (name, answer.status_code)
                found[name] = answer.text.count('class="number">') - 1
        exported = _exported(ask, peak_bytes)
    report = Report(
        benchmark="console",
        rows=[
            Row(
                measure=f"studies page, {name}",
                unit="s, median",
                ours=statistics.median(times),
                against="limit",
                theirs=LIMIT_SECONDS,
                ratio=statistics.median(times) / LIMIT_SECONDS,
                details={
                    "largest": max(times),
                    "processor": statistics.mean(spent[name]),
                    "found": found[name],
                },
            )
            for name, times in seconds.items()
            if times
        ]
        + exported,
        conditions={**machine(), "studies": studies, "rounds": rounds},
    )
    columns = {
        "found": ("found", str),
        "lines": ("lines", str),
        "seconds": ("s", "{:.0f}".format),
        "largest": ("largest", "{:.3f}".format),
        "processor": ("processor s", "{:.3f}".format),
    }
    show([report], columns)
    if json is not None:
        report.write(json)


def _filters(studies: int) -> dict[str, tuple[str, str, dict[str, str]]]:
    middle = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=30 * studies // 2)
    day = f"{middle:%Y-%m-%d}"
    states = (
        "receiving", "waiting", "analysing", "delivering", "delivered", "done", "held", "failed",
        "cancelled", "refused", "expired", "nothing-to-analyse",
    )  # fmt: skip
    return {
        "none": ("GET", "/studies", {}),
        "accession number": ("POST", "/studies", {"text": f"ACC{studies // 2}"}),
        "beginning of it": ("POST", "/studies", {"text": "acc1"}),
        "patient ID": ("POST", "/studies", {"text": f"PAT{studies // 7}"}),
        "name": ("POST", "/studies", {"text": "Name12"}),
        "study UID": ("POST", "/studies", {"text": f"1.2.826.0.1.3680043.8.498.9.{studies // 3}"}),
        "nothing of this text": ("POST", "/studies", {"text": "nobody"}),
        "sender": ("GET", "/studies?sender=ROOM3", {}),
        "sender that never sent": ("GET", "/studies?sender=NOBODY", {}),
        "one day": ("GET", f"/studies?since={day}&until={day}", {}),
        **{f"state {one}": ("GET", f"/studies?state={one}", {}) for one in states},
        "state failed and one day": ("GET", f"/studies?state=failed&until={day}", {}),
        "text, state and day": (
            "POST", "/studies", {"text": "acc5", "state": "delivered", "until": day},
        ),
    }  # fmt: skip


def _exported(ask: Any, peak_bytes: Any) -> list[Row]:
    """Read all scores as they come; return how long it took, and how the memory grew meanwhile."""
    ask("GET", "/api/scores?until=2025-01-02", {})
    before, began, lines = peak_bytes(), time.perf_counter(), 0
    with ask("GET", "/api/scores", {}, stream=True) as answer:
        assert answer.status_code == 200, answer.status_code
        for piece in answer.iter_content(65_536):
            lines += piece.count(b"\n")
    seconds, grown = time.perf_counter() - began, (peak_bytes() - before) / 1e6
    against = {"against": "limit", "theirs": GROWTH_MEGABYTES, "ratio": grown / GROWTH_MEGABYTES}
    return [
        Row(
            measure="export of all scores, growth of the process",
            unit="MB",
            ours=grown,
            details={"lines": lines, "seconds": seconds},
            **against,
        )
    ]


@contextmanager
def _console(folder: Path, studies: int) -> Iterator[Any]:
    settings = Settings(
        spool=folder / "spool",
        console={"enabled": True, "port": 11191},
        destinations=[{"name": "archive", "ae_title": "A", "host": "127.0.0.1", "port": 4242}],
    )
    settings.spool.mkdir()
    with closing(Database(settings.ledger_url)) as database:
        database.migrate()
        _fill(database, studies)
        with database.writing() as session:
            at = datetime.now(UTC)
            token = add_token(session, "benchmark", Role.VIEWER, expires_at=None, at=at)
    module = "dicom_node.console.web_process"
    server = ChildServer(settings.console, section="console", module=module, order=settings)
    server.start()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"

    def ask(
        method: str, path: str, form: dict[str, str], *, stream: bool = False
    ) -> requests.Response:
        url = f"http://127.0.0.1:{settings.console.port}{path}"
        return session.request(method, url, data=form or None, timeout=120, stream=stream)

    try:
        ask("GET", "/studies", {})  # which waits until the process has started
        yield ask, partial(_processor_seconds, server), partial(_peak_bytes, server)
    finally:
        server.stop()


def _processor_seconds(server: ChildServer) -> float:
    """Return what the console's process has computed so far, whoever else uses the machine."""
    fields = Path(f"/proc/{server.process_id}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(server: ChildServer) -> int:
    """Return the most memory that the console's process has held so far."""
    status = Path(f"/proc/{server.process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _findings() -> str:
    """Return the answer to a study of four images, one finding each."""
    finding = Finding(
        name="cancer",
        code="363346000",
        score=0.25,
        calibrated=False,
        above_threshold=False,
        source=FindingSource.HEAD,
        method=LocalisationMethod.NONE,
    )
    images = tuple(
        ImageFindings(
            sop_instance_uid=f"1.2.3.{number}",
            laterality=side,
            view_position=view,
            status=ImageStatus.ANALYSED,
            findings=(finding,),
        )
        for number, (side, view) in enumerate(product("LR", ("CC", "MLO")))
    )
    bundle = BundleIdentity(
        name="big",
        version="1",
        sha256="0" * 64,
        licence="none",
        permitted_use="benchmark",
    )
    return to_json(
        StudyFindings(
            study_instance_uid="1.2.3", bundle=bundle, settings_sha256="0" * 64, images=images
        )
    )


def _fill(database: Database, studies: int) -> None:
    findings = _findings()
    for first in range(1, studies + 1, _PORTION):
        last = min(first + _PORTION - 1, studies)
        numbers = _NUMBERS["sqlite"].format(first=first, last=last)
        with database.writing() as session:
            for statement in _STATEMENTS:
                made = statement.format(numbers=numbers, at=_AT, findings=findings)
                filled = text(made.replace(":", r"\:"))
                session.execute(filled)


if __name__ == "__main__":
    typer.run(main)
