"""The secret of an installation: made once, for its owner alone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicom_node.spool.identity_key import IdentityKeyError, identity_key
from dicom_node.spool.local_disk import Spool


@pytest.fixture
def fresh_spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_key_stays_the_same(fresh_spool: Spool) -> None:
    assert identity_key(fresh_spool) == identity_key(Spool(fresh_spool.root))


def test_two_installations_have_two_keys(fresh_spool: Spool, tmp_path: Path) -> None:
    assert identity_key(fresh_spool) != identity_key(Spool(tmp_path / "other"))


def test_key_is_readable_by_its_owner_alone(fresh_spool: Spool) -> None:
    identity_key(fresh_spool)

    assert (fresh_spool.root / "identity.key").stat().st_mode & 0o777 == 0o600


def test_processes_that_make_it_at_once_have_one_key(fresh_spool: Spool) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        keys = set(pool.map(lambda _: identity_key(fresh_spool), range(32)))

    assert len(keys) == 1
    assert list((fresh_spool.root / "partial").iterdir()) == []


def test_file_that_holds_no_key_is_named(fresh_spool: Spool) -> None:
    (fresh_spool.root / "identity.key").write_bytes(b"short")

    with pytest.raises(IdentityKeyError, match=r"identity\.key holds 5 bytes instead of 32"):
        identity_key(fresh_spool)
