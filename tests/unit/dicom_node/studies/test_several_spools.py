"""Several nodes before one ledger: each works on the files of its own spool and on no other's."""

from pathlib import Path

import kept_studies
import pytest
from node_factory import (
    HEADERS,
    NOW,
    SOMEBODY_ELSE,
    Reception,
    mammogram,
    put,
    second_node,
)
from sqlalchemy import delete, update

from dicom_node.facts.image_comparison import likeness_of
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.site_tables import KnownSpool
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study
from dicom_node.studies.own_spool import own_spool

pytestmark = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)


@pytest.fixture
def other(tmp_path: Path, reception: Reception) -> Reception:
    """Return a second node before the ledger of the first, which has come before it."""
    return second_node(reception, tmp_path / "second")


def numbers(one: Reception) -> list[int]:
    return [row.spool_id for row in one.instances()]


def test_row_says_in_which_spool_its_file_lies(reception: Reception, other: Reception) -> None:
    reception.receive(mammogram())
    other.receive(mammogram(StudyInstanceUID="1.2.3"))

    assert numbers(reception) == [1, 2]
    assert [row.spool_id for row in reception.rows(Study)] == [1, 2]
    for node, row in zip((reception, other), reception.instances(), strict=True):
        assert (node.spool.root / row.place).is_file()
    first, second = reception.rows(KnownSpool)
    assert first.name.endswith(f":{reception.spool.root}")
    assert second.name.endswith(f":{other.spool.root}")


def test_study_that_comes_by_two_nodes_belongs_to_that_of_its_first_image(
    reception: Reception, other: Reception
) -> None:
    other.receive(mammogram("CC"))
    reception.receive(mammogram("MLO"))

    assert reception.study().spool_id == 2
    assert numbers(reception) == [2, 1]


@pytest.mark.parametrize(
    "state", [InstanceState.RECEIVED, InstanceState.TAKEN_BACK, InstanceState.REPLACED]
)
def test_file_that_is_to_be_moved_is_left_to_its_own_node(
    reception: Reception, other: Reception, state: InstanceState
) -> None:
    reception.receive(mammogram())
    with reception.database.writing() as session:
        session.execute(update(Instance).values(state=state))
    before = {file: file.read_bytes() for file in reception.files("")}

    other.registrar.register_all()

    (row,) = reception.instances()
    assert (row.state, bool(row.place)) == (state, True)
    assert {file: file.read_bytes() for file in reception.files("")} == before
    assert other.files("incoming") == other.files("studies") == []


def test_object_that_was_entered_when_its_node_died_is_finished_by_that_node_alone(
    reception: Reception, other: Reception
) -> None:
    row = reception.receive(mammogram())
    assert row is not None
    waiting = reception.spool.root / f"incoming/{row.receipt}.dcm"
    (reception.spool.root / row.place).rename(waiting)
    with reception.database.writing() as session:
        session.execute(update(Instance).values(state=InstanceState.RECEIVED))

    other.registrar.register_all()
    assert waiting.is_file()
    reception.registrar.register_all()

    (row,) = reception.instances()
    assert row.state is InstanceState.REGISTERED
    assert (reception.spool.root / row.place).is_file()


def test_equal_image_that_comes_by_both_nodes_is_kept_once(
    reception: Reception, other: Reception
) -> None:
    image = mammogram()
    reception.receive(image)

    assert other.receive(image) is None

    assert numbers(reception) == [1]
    assert other.files("incoming") == other.files("studies") == []


def test_image_that_waits_for_the_other_node_is_neither_lost_nor_doubled(
    reception: Reception, other: Reception
) -> None:
    image, other_image = mammogram(), mammogram()
    other_image.SOPInstanceUID = image.SOPInstanceUID
    other_image.PatientName = "Neu^Name"
    reception.receive(image)
    with reception.database.writing() as session:
        session.execute(update(Instance).values(state=InstanceState.RECEIVED))

    other.receive(other_image)
    assert len(other.files("incoming")) == 1  # undecided until the first has reached its place
    reception.registrar.register_all()
    other.registrar.register_all()

    first, second = reception.instances()
    assert first.state is InstanceState.REGISTERED
    assert (second.state, second.reason) == (InstanceState.SET_ASIDE, "same-uid-other-content")


def test_other_copy_of_an_image_in_an_unreached_spool_is_set_aside_in_words(
    reception: Reception, other: Reception
) -> None:
    image = mammogram()
    reception.receive(image)
    image.PatientName = "Neu^Name"

    row = other.receive(image)

    assert row is not None
    assert (row.state, row.spool_id) == (InstanceState.SET_ASIDE, 2)
    assert row.reason == "same-uid-other-content"
    assert "received before, by another node" in row.detail
    assert "other_spools" in row.detail
    assert reception.instances()[0].state is InstanceState.REGISTERED


def test_corrected_image_takes_the_place_of_one_in_a_spool_that_is_reached(
    reception: Reception, other: Reception
) -> None:
    image = mammogram()
    former = reception.receive(image)
    assert former is not None
    image.PatientName = "Neu^Name"
    receipt = put(other.spool, image)
    Registrar(
        other.spool,
        other.database,
        ReceiveSettings(),
        clock=lambda: NOW,
        headers=HEADERS,
        compare=likeness_of,
        other_spools=[reception.spool.root],
    ).register_all()

    first, second = reception.instances()
    assert (first.state, second.reason) == (InstanceState.REPLACED, "corrected")
    assert (second.receipt, second.spool_id) == (str(receipt), 2)
    assert (reception.spool.root / former.place).is_file()  # its own node deletes it
    reception.registrar.register_all()
    assert reception.files("studies") == []


def test_files_to_delete_are_deleted_by_their_own_nodes(
    reception: Reception, other: Reception
) -> None:
    reception.receive(mammogram("CC"))
    other.receive(mammogram("MLO"))
    reception.receive(mammogram(without=["ImageLaterality"], **SOMEBODY_ELSE))
    with reception.database.writing() as session:
        session.execute(update(Instance).values(removed_at=NOW))

    kept_studies.retention(other).delete_marked()
    assert [bool(row.place) for row in reception.instances()] == [True, False, True]
    assert len(reception.files("studies")) == 1
    assert other.files("studies") == []

    kept_studies.retention(reception).delete_marked()
    assert reception.files("studies") == reception.files("set-aside") == []


def test_retention_removes_studies_and_strays_of_its_own_spool_alone(
    reception: Reception, other: Reception
) -> None:
    former = kept_studies.Kept(reception, "1.2.1").deliver()
    reception.receive(b"no data set at all")
    theirs = kept_studies.Kept(other, "1.2.2")
    other.receive(b"nor is this")
    with reception.database.writing() as session:
        session.execute(update(Study).where(Study.id == 2).values(spool_id=2))
        session.execute(update(Instance).where(Instance.study_id == 2).values(spool_id=2))
        session.execute(update(Instance).values(received_at=NOW))
    theirs.deliver()
    kept = former.files() | set(map(str, reception.files("set-aside")))

    kept_studies.retention(other, RetentionSettings(days=30, set_aside_days=30)).step(at_once=True)

    assert theirs.files() == set(other.files("set-aside")) == set()
    assert former.files() | set(map(str, reception.files("set-aside"))) == kept
    assert {row.spool_id for row in reception.instances() if row.removed_at} == {2}
    assert [bool(row.removed_at) for row in reception.rows(Study)] == [False, True]


def test_node_of_an_earlier_release_finds_its_files_again(
    reception: Reception, tmp_path: Path, database: Database
) -> None:
    reception.receive(mammogram())
    forget_spools(database)
    (reception.spool.root / "spool.id").unlink()
    newcomer = Spool(tmp_path / "newcomer")

    assert own_spool(newcomer, database) == 2  # it came first, and has none of the files
    assert own_spool(reception.spool, database) == 1
    assert [row.id for row in reception.rows(KnownSpool)] == [1, 2]


def test_spool_that_has_lost_its_identity_is_recognised_by_its_files(
    reception: Reception, other: Reception, database: Database
) -> None:
    other.receive(mammogram())
    (other.spool.root / "spool.id").unlink()

    assert own_spool(other.spool, database) == 2
    assert len(reception.rows(KnownSpool)) == 2


def test_identity_that_cannot_be_read_is_told_in_words(spool: Spool, database: Database) -> None:
    (spool.root / "spool.id").write_bytes(b"\x00" * 4)

    with pytest.raises(Exception, match="does not hold 32 hexadecimal digits"):
        own_spool(spool, database)


def forget_spools(database: Database) -> None:
    with database.writing() as session:
        session.execute(delete(KnownSpool))
