"""The node's console in its real process, on loopback, before a ledger with studies."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from console_factory import ACCESSION, Served, serving
from node_factory import Reception, four_views


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, migrated_ledger: Path) -> Iterator[Served]:
    """Return a console before one study."""
    with serving(tmp_path_factory.mktemp("console"), migrated_ledger, one_study) as found:
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
