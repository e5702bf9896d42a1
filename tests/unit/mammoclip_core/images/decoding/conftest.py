"""What tests of the processes that decode share: a codec that misbehaves, and images."""

from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import misbehaving_decoder
import pytest
from core_factory import breast, encapsulated, mammogram, save
from pydicom.uid import JPEGLSLossless

from mammoclip_core.images.decoding import decoding_process
from mammoclip_core.images.decoding.decoding_effort import Effort
from mammoclip_core.images.decoding.decoding_pool import DecodingPool

IMAGE = breast()
Pools = Callable[..., DecodingPool]


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def pool_whose_codec(notes: list[str]) -> Iterator[Pools]:
    """Return a pool whose codec of JPEG-LS does something bad; with a file, once only."""
    made: list[DecodingPool] = []

    def build(
        deed: str, marker: Path | None = None, processes: int = 1, doubts: int = 0
    ) -> DecodingPool:
        program = misbehaving_decoder.command(deed, marker)
        made.append(DecodingPool(processes, doubts=doubts, note=notes.append, program=program))
        return made[-1]

    yield build
    for pool in made:
        pool.close()


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return save(mammogram(IMAGE), tmp_path / "healthy.dcm")


@pytest.fixture
def poison(tmp_path: Path) -> Path:
    return encapsulated(
        tmp_path / "poison.dcm", IMAGE, JPEGLSLossless, imagecodecs.jpegls_encode(IMAGE)
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second for a frame, instead of half a minute."""
    effort = Effort(memory_bytes=0, processor_seconds=0, seconds=1)
    monkeypatch.setattr(decoding_process, "decoding_effort", lambda *_: effort)
