"""The node's console in its real process, on loopback, before a ledger with studies."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from console_factory import ACCESSION, Served, serving
from identity_provider import CLIENT_ID, CLIENT_SECRET, Provider, identity_provider
from node_factory import Reception, four_views
from provider_desk import READER, Desk


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """Return a provider of identities that the console offers."""
    with identity_provider() as found:
        yield found


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, migrated_ledger: Path, provider: Provider
) -> Iterator[Served]:
    """Return a console before one study."""
    oidc = {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "viewers": ["readers"],
        "operators": ["technicians"],
        "admins": ["it"],
    }
    folder = tmp_path_factory.mktemp("console")
    with serving(folder, migrated_ledger, one_study, oidc=oidc) as found:
        yield found


@pytest.fixture
def desk(served: Served, provider: Provider) -> Desk:
    """Return a browser at which somebody who may is about to sign in."""
    provider.honest(READER)
    return Desk(served, requests.Session())


def one_study(reception: Reception) -> None:
    pixels = np.arange(96 * 64, dtype="<u2").tobytes()
    for image in four_views(
        AccessionNumber=ACCESSION,
        StudyDate="20260304",
        Rows=96,
        Columns=64,
        BitsStored=16,
        HighBit=15,
        PixelData=pixels,
    ):
        reception.receive(image)
