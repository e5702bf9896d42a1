"""One key for all nodes before a ledger: no other is made or taken beside it."""

import hashlib
from pathlib import Path

import pytest
from node_factory import Reception, mammogram
from sqlalchemy import select

from dicom_node.spool.identity_key import identity_key, serial_number_of
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.installation_key import (
    OtherKeyError,
    installation_key,
    require_installation_key,
    serial_number,
)
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import LedgerIdentity
from dicom_node.studies.own_spool import own_spool

pytestmark = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)


@pytest.fixture
def second(tmp_path: Path, spool: Spool, database: Database) -> Spool:
    """Return the spool of a second node, before which the first has made its key."""
    own_spool(spool, database)
    installation_key(spool, database)
    second = Spool(tmp_path / "second")
    own_spool(second, database)
    return second


def test_ledger_knows_a_digest_of_the_key_and_not_the_key(spool: Spool, database: Database) -> None:
    key = installation_key(spool, database)

    with database.reading() as session:
        row = session.scalars(select(LedgerIdentity)).one()
    assert key == identity_key(spool)
    assert len(row.key_digest) == 64
    assert row.key_digest not in {key.hex(), hashlib.sha256(key).hexdigest()}
    assert row.serial_number == serial_number(database) == serial_number_of(spool)


def test_second_node_makes_no_key_of_its_own(second: Spool, database: Database) -> None:
    for attempt in (installation_key, lambda spool, _: require(spool, database)):
        with pytest.raises(OtherKeyError, match="is missing, and must be that of the nodes"):
            attempt(second, database)

    assert not (second.root / "identity.key").exists()


def test_second_node_with_another_key_registers_nothing_and_loses_nothing(
    second: Spool, database: Database, spool: Spool
) -> None:
    former = identity_key(spool)
    (second.root / "identity.key").write_bytes(bytes(32))
    node = Reception(second, database)

    node.receive(mammogram())
    with pytest.raises(OtherKeyError, match=r"identity\.key in .*second is not that of the nodes"):
        require(second, database)
    assert len(node.files("incoming")) == 1
    assert node.instances() == []

    (second.root / "identity.key").write_bytes(former)
    node.registrar.register_all()
    assert len(node.instances()) == 1


def test_single_node_that_has_lost_its_key_gets_a_new_one(spool: Spool, database: Database) -> None:
    own_spool(spool, database)
    installation_key(spool, database)
    (spool.root / "identity.key").unlink()

    require(spool, database)
    assert installation_key(spool, database) == identity_key(spool)
    assert serial_number(database) == serial_number_of(spool)


def require(spool: Spool, database: Database) -> None:
    require_installation_key(spool.root, database)
