"""The node runs its console as a process of its own, from the settings file to the page."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import requests
from console_factory import PASSWORD
from node_factory import encoded, mammogram
from ports import free_port
from services import wait_for
from unit.dicom_node.receive.listener_factory import store

from dicom_node.node_process import running_node
from dicom_node.settings.reading import load_settings
from dicom_node.settings.work import RetrySettings
from dicom_node.sign_in.accounts import add_account
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.canary_runs import CanaryFacts, note_run
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.circuits import note_failure
from dicom_node.studies.ledger.locks import database_time


def test_node_serves_the_console_and_its_probes_fail_with_no_archive(tmp_path: Path) -> None:
    port, receive = free_port(), free_port()
    file = tmp_path / "mammoclip.toml"
    file.write_text(
        f'spool = "spool"\n[receive]\nport = {receive}\nminimum_free_bytes = 1\n'
        f"[console]\nenabled = true\nport = {port}\n"
        f'[[destinations]]\nname = "archive"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\n'
        f"port = {free_port()}\n"
        f'[broker]\nurl = "redis://127.0.0.1:{free_port()}/0"\n'
    )
    settings = load_settings(file)
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return requests.get(f"{url}/readyz", timeout=10).ok
        except requests.RequestException:
            return False

    with running_node(settings):
        wait_for(is_ready, seconds=120, what="node and console are ready")
        database = Database(settings.ledger_url)
        wait_for(database.has_tables, seconds=60, what="the node has made its ledger")
        with database.writing() as session:
            add_account(session, "ward", Role.VIEWER, PASSWORD, at=datetime.now(UTC))
        database.close()
        answer = requests.post(
            f"{url}/sign-in", data={"name": "ward", "password": PASSWORD}, timeout=30
        )
        assert answer.status_code == 200
        assert "no worker serves analyses" in answer.text

        # Broker and archive are away, and the canary's study ended nowhere: what is sent is taken.
        with closing(Database(settings.ledger_url)) as database, database.writing() as session:
            at = database_time(session)
            policy = RetrySettings(breaker_failures=1)
            note_failure(session, "archive", reason="no association", policy=policy, at=at)
            run = CanaryFacts(began_at=at, seconds={}, broken="deliver", reason="no answer")
            note_run(session, run, key="", scores="")
        assert is_ready()
        assert store(receive, encoded(mammogram())) == 0x0000

    assert not is_ready()
