from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.errors import SettingsError
from dicom_node.settings.settings import Settings

Load = Callable[[str], Settings]

ARCHIVE = """
[[destinations]]
name = "{name}"
ae_title = "ARCHIVE"
host = "127.0.0.1"
"""


def test_unknown_kind_of_destination_is_explained(load: Load) -> None:
    with pytest.raises(SettingsError, match="kind must be dicom or dicomweb"):
        load('[[destinations]]\nkind = "fax"')


def test_name_of_a_destination_is_used_once(load: Load) -> None:
    with pytest.raises(SettingsError, match="the name archive is used twice"):
        load(ARCHIVE.format(name="archive") * 2)


def test_lease_outlasts_the_heartbeat(load: Load) -> None:
    with pytest.raises(SettingsError, match="at least twice heartbeat_seconds"):
        load("[work]\nheartbeat_seconds = 10\nlease_seconds = 19")


def test_ledger_lies_in_the_spool_by_default(load: Load, tmp_path: Path) -> None:
    assert load("").ledger_url == f"sqlite:///{tmp_path}/spool/ledger.sqlite"


def test_destination_is_found_by_its_name(load: Load) -> None:
    settings = load(ARCHIVE.format(name="one") + ARCHIVE.format(name="two"))

    found = settings.destination("two")

    assert found is not None
    assert found.name == "two"
    assert settings.destination("three") is None


def test_settings_cannot_be_changed(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load("").receive.port = 1  # type: ignore[misc]
