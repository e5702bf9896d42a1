"""Of two nodes on copies of one spool, before one ledger, only the first works on its files."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from postgresql import PostgreSQL
from services import wait_for

from dicom_node.node_process import running_node
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import SpoolInUseError


@pytest.fixture
def ledger_url(postgresql_ledger: Any) -> str:
    return postgresql_ledger.engine.url.render_as_string(hide_password=False)


def node_settings(spool: Path, ledger_url: str) -> Settings:
    return Settings(
        spool=spool,
        ledger={"url": ledger_url},
        receive={"port": free_port(), "minimum_free_bytes": 1, "processes": 1},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
    )


def test_node_on_a_copy_of_a_spool_waits_until_the_other_node_has_ended(
    tmp_path: Path, ledger_url: str, log_lines: list[Any]
) -> None:
    first = node_settings(tmp_path / "spool", ledger_url)
    with running_node(first) as node:
        wait_for(node._ledger_ready.is_set, seconds=60, what="the first node has its ledger")
        shutil.copytree(first.spool, tmp_path / "copy")
        second = node_settings(tmp_path / "copy", ledger_url)
        with running_node(second) as copied:
            told = wait_for(
                lambda: [one for one in log_lines if one["event"] == "spool_held"],
                seconds=60,
                what="the node on the copy says so",
            )
            assert str(first.spool) in told[0]["detail"]
            assert not copied._ledger_ready.is_set()
            assert node._ledger_ready.is_set()

            node.stop()
            wait_for(copied._ledger_ready.is_set, seconds=60, what="the other goes on")
