"""The optional ways into the node: each is there if the settings switch it on, and only then."""

import threading
from typing import Any

import pytest

from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.ways_in import ways_in

CODE = {"value": "AI", "scheme": "99TEST", "meaning": "analysis"}
ARCHIVE = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, []),
        ({"receive": {"announcers": ["ROOM1"]}}, ["announcements"]),
        ({"ups": {"url": "http://127.0.0.1:9/ups", "workitem_codes": [CODE]}}, ["worklist"]),
        ({"poll": [{"archive": "pacs"}], "destinations": [ARCHIVE]}, ["poll"]),
        ({"receive": {"assessment_senders": ["READER"]}}, ["assessments"]),
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_way_is_there_where_it_is_switched_on_and_waits_for_the_ledger(
    spool: Spool, database: Database, options: dict[str, Any], names: list[str]
) -> None:
    steps = list(
        ways_in(
            Settings(spool=spool.root, **options),
            spool,
            database,
            is_ready=lambda: False,
            stopping=threading.Event(),
        )
    )
    for _, step in steps:
        step()

    # The index of identifiers follows the settings by itself: switched off, it forgets.
    assert [name for name, _ in steps] == ["identifiers", *names]
