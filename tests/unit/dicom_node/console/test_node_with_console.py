"""The node runs its console as a process of its own, from the settings file to the page."""

from datetime import UTC, datetime
from pathlib import Path

import requests
from console_factory import PASSWORD
from ports import free_port
from services import wait_for

from dicom_node.node_process import running_node
from dicom_node.settings.reading import load_settings
from dicom_node.sign_in.accounts import add_account
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.database import Database


def test_node_serves_the_console_until_it_stops(tmp_path: Path) -> None:
    port, receive = free_port(), free_port()
    file = tmp_path / "mammoclip.toml"
    file.write_text(
        f'spool = "spool"\n[receive]\nport = {receive}\nminimum_free_bytes = 1\n'
        f"[console]\nenabled = true\nport = {port}\n"
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

    assert not is_ready()
