"""A folder of the spool whose disk is not mounted is the site's fault: nothing counts as lost."""

from pathlib import Path

import pytest
from node_factory import Reception, mammogram, put
from structlog.testing import capture_logs

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.files.folder_markers import MARKER
from dicom_node.studies.ledger.states import InstanceState


def unmount(folder: Path) -> Path:
    away = folder.rename(folder.with_name(f"{folder.name}-away"))
    folder.mkdir()
    return away


def test_objects_wait_until_the_disk_is_back_and_the_log_says_so_once(
    reception: Reception,
) -> None:
    with reception.spool.owned():
        pass
    folder = reception.spool.root / "studies"
    away = unmount(folder)
    registrar = reception.registrar
    for view in ("CC", "MLO"):
        put(reception.spool, mammogram(view))

    with capture_logs() as lines:
        registrar.register_all()
        registrar.register_all()

    told = [line for line in lines if line["event"] == "moving_failed"]
    assert len(told) == 1
    assert "Mount its disk" in told[0]["reason"]
    assert [row.state for row in reception.instances()] == [InstanceState.RECEIVED] * 2
    assert list(folder.iterdir()) == []

    folder.rmdir()
    away.rename(folder)
    registrar.register_all()

    assert [row.state for row in reception.instances()] == [InstanceState.REGISTERED] * 2


@pytest.mark.parametrize("name", ["studies", "results"])
def test_worker_finds_the_spool_unusable(reception: Reception, name: str) -> None:
    with reception.spool.owned():
        pass
    reception.spool.require_usable()
    unmount(reception.spool.root / name)

    with pytest.raises(OutOfResourcesError, match=f"(?s)/{name} is not the one.*Mount its disk"):
        reception.spool.require_usable()


def test_nothing_counts_as_removed(reception: Reception) -> None:
    with reception.spool.owned():
        pass
    row = reception.receive(mammogram())
    assert row is not None
    unmount(reception.spool.root / "studies")

    with pytest.raises(OutOfResourcesError, match="Mount its disk"):
        reception.spool.discard(row.place)


def test_later_start_does_not_mark_what_is_not_mounted(reception: Reception) -> None:
    with reception.spool.owned():
        pass
    unmount(reception.spool.root / "studies")

    with reception.spool.owned():
        pass

    with pytest.raises(OutOfResourcesError, match="Mount its disk"):
        reception.spool.require_readable()


def test_folder_of_another_spool_is_not_taken_for_its_own(reception: Reception) -> None:
    with reception.spool.owned():
        pass
    (reception.spool.root / "studies" / MARKER).write_text("another")

    with pytest.raises(OutOfResourcesError, match="lacks the marker"):
        reception.spool.require_readable()


def test_marker_that_was_copied_as_the_message_says_is_accepted(reception: Reception) -> None:
    with reception.spool.owned():
        pass
    folder = reception.spool.root / "studies"
    unmount(folder)

    (folder / MARKER).write_bytes((reception.spool.root / MARKER).read_bytes())

    reception.spool.require_readable()


def test_start_that_was_killed_while_it_marked_begins_anew(reception: Reception) -> None:
    with reception.spool.owned():
        pass
    (reception.spool.root / MARKER).unlink()

    with reception.spool.owned():
        reception.spool.require_usable()
