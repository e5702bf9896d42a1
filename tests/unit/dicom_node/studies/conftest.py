"""What the tests of interleavings share: a stage on the ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from interleaving import Stage
from scenes import Scenes

from dicom_node.studies.ledger.database import Database


@pytest.fixture
def scenes(database: Database, tmp_path: Path) -> Iterator[Scenes]:
    with Stage(database).open() as stage:
        yield Scenes(database, stage, tmp_path)
