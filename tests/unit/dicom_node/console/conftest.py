"""The node's console in its real process, on loopback, before a ledger with studies."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import objects_factory
import pytest
import requests
from console_factory import ACCESSION, Served, serving
from identity_provider import CLIENT_ID, CLIENT_SECRET, Provider, identity_provider
from node_factory import Reception, analysis_row, four_views, mammogram, study_row
from objects_factory import NEGATIVE, image_of, study_of
from provider_desk import READER, Desk
from unit.dicom_node.drift.noted_year import enter_notes

from dicom_node.monitoring.simulated_year import START, Plan, observations
from dicom_node.studies.ledger.states import AnalysisState
from mammoclip_core.findings_document import to_json


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


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, migrated_ledger: Path) -> Iterator[Served]:
    """Return a console before the answers of some weeks."""

    def fill(reception: Reception) -> None:
        now = reception.database.now()
        seen = islice(observations(Plan(scanner="A"), seed=5), 200)
        enter_notes(
            reception.database,
            [replace(one, at=now - timedelta(days=20) + (one.at - START)) for one in seen],
        )
        reception.receive(mammogram())
        answer = to_json(study_of(image_of(objects_factory.mammogram("MLO"), NEGATIVE)))
        with reception.database.writing() as session:
            row = study_row(session, "1.2.826.0.1.3680043.8.498.4711")
            done = {"state": AnalysisState.DONE, "finished_at": now, "rule": "default"}
            analysis_row(session, row, findings=answer, **done)

    with serving(tmp_path_factory.mktemp("watched"), migrated_ledger, fill) as found:
        yield found


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
