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
    with pytest.raises(
        SettingsError, match="kind must be one of dicom, dicomweb, fhir, hl7, webhook"
    ):
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


def test_nothing_is_removed_by_default(load: Load) -> None:
    assert not load("").retention.is_on
    assert load("[retention]\ndays = 0.5").retention.is_on


def test_room_is_made_before_objects_are_refused(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"more than receive\.minimum_free_bytes"):
        load("[receive]\nminimum_free_bytes = 10\n[retention]\nfree_bytes = 10")


@pytest.mark.parametrize("line", ["days = 0", "free_percent = 100", "set_aside_days = -1"])
def test_retention_that_would_remove_everything_is_a_mistake(load: Load, line: str) -> None:
    with pytest.raises(SettingsError, match=f"retention.{line.split(' ', maxsplit=1)[0]}"):
        load(f"[retention]\n{line}")
