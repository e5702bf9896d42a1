"""What these tests share: certificates; and the factories of the node's own tests."""

import sys
from pathlib import Path

import pytest
from certificates import Authority, Certificate

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "dicom_node"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def peers(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Certificate | None]:
    """Return certificates of every kind, each for a peer that calls itself SCANNER."""
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "Another Authority")
    revoked = authority.issue("SCANNER")
    authority.revoke(revoked)
    return {
        "good": authority.issue("SCANNER"),
        "good rsa": authority.issue("SCANNER", bits=2048),
        "of another title": authority.issue("ROOM2"),
        "of another host": authority.issue("SCANNER", san="DNS:elsewhere"),
        "without a name": authority.issue("localhost", san=""),
        "of another authority": stranger.issue("SCANNER"),
        "expired": authority.issue("SCANNER", days=-1),
        "revoked": revoked,
        "weak": authority.issue("SCANNER", bits=1024),
        "none": None,
    }
