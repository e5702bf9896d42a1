"""Mutated files of every format: pixels or a declared error, within bounded memory."""

import os
import resource
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from core_factory import breast, mammogram, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.dicom_file import read_header
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.picture_file import raster_format
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.manifest import Preprocessing

EXAMPLES = int(os.environ.get("MAMMOCLIP_FUZZ_EXAMPLES", "60"))
"""For each format; raise it for a long run."""

MEMORY_BYTES = 3 << 30
"""More than any image of the size that is accepted needs."""

INPUT = Preprocessing(mode="published", rows=95, columns=57, mean=0.3089279, std=0.2505355)
VALUES = breast(90, 74, seed=1)
BYTES = (VALUES >> 4).astype(np.uint8)

FRAMES: Mapping[str, Callable[[], bytes]] = {
    "1.2.840.10008.1.2.4.50": lambda: imagecodecs.jpeg8_encode(BYTES, level=90),
    "1.2.840.10008.1.2.4.51": lambda: imagecodecs.jpeg8_encode(VALUES, level=90, bitspersample=12),
    "1.2.840.10008.1.2.4.70": lambda: imagecodecs.jpeg8_encode(
        VALUES, lossless=True, bitspersample=12, predictor=1
    ),
    "1.2.840.10008.1.2.4.80": lambda: imagecodecs.jpegls_encode(VALUES),
    "1.2.840.10008.1.2.4.81": lambda: imagecodecs.jpegls_encode(VALUES, level=3),
    "1.2.840.10008.1.2.4.90": lambda: imagecodecs.jpeg2k_encode(
        VALUES, codecformat="j2k", reversible=True, level=0, bitspersample=12
    ),
    "1.2.840.10008.1.2.4.91": lambda: imagecodecs.jpeg2k_encode(
        VALUES, codecformat="j2k", level=60
    ),
    "1.2.840.10008.1.2.4.201": lambda: imagecodecs.htj2k_encode(VALUES),
}
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99")
PICTURES = ("png", "tif", "jpg", "zip.tif", "16.png")


def intact_file(kind: str, folder: Path) -> bytes:
    path = folder / f"intact.{kind}"
    if kind in PICTURES:
        picture = Image.fromarray(VALUES if "16" in kind else BYTES)
        picture.save(path, **({"compression": "tiff_deflate"} if "zip" in kind else {}))
        return path.read_bytes()
    dataset = mammogram(BYTES if kind.endswith(".50") else VALUES, WindowCenter=2048)
    dataset.WindowWidth = 4096
    dataset.PixelPaddingValue = 0
    if kind == RLELossless:
        dataset.compress(RLELossless, encoding_plugin="pydicom")
    else:
        dataset.file_meta.TransferSyntaxUID = kind
    if kind in FRAMES:
        dataset.PixelData = encapsulate([FRAMES[kind]()])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    return save(dataset, path).read_bytes()


@pytest.fixture(autouse=True)
def _bounded_memory() -> object:
    """Refuse memory beyond the bound, so that asking for it is an error and no slow machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES + _in_use(), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def _in_use() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@st.composite
def mutations(draw: st.DrawFn, size: int) -> Callable[[bytes], bytes]:
    """Draw a way to damage a file: bytes, 16- and 32-bit numbers, cuts, copies."""
    places = st.integers(0, max(size - 5, 0))
    near_the_codestream = st.integers(max(0, size * 2 // 3), max(size - 5, 0))
    writes = draw(
        st.lists(
            st.tuples(
                places | st.integers(128, min(1400, size)) | near_the_codestream,
                st.binary(min_size=1, max_size=4)
                | st.sampled_from([b"\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff"]),
            ),
            min_size=1,
            max_size=6,
        )
    )
    cut = draw(st.none() | st.none() | places)
    copied = draw(st.none() | st.none() | st.tuples(places, places, st.integers(1, 200)))

    def damage(content: bytes) -> bytes:
        damaged = bytearray(content)
        for place, value in writes:
            damaged[place : place + len(value)] = value
        if copied is not None:
            start, target, length = copied
            damaged[target:target] = damaged[start : start + length]
        return bytes(damaged if cut is None else damaged[:cut])

    return damage


@pytest.mark.parametrize("kind", [*FRAMES, *UNCOMPRESSED, str(RLELossless), *PICTURES])
def test_damaged_file_gives_pixels_or_a_declared_error(tmp_path: Path, kind: str) -> None:
    intact = intact_file(kind, tmp_path)
    path = tmp_path / "damaged"

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(len(intact)))
    def check(damage: Callable[[bytes], bytes]) -> None:
        # Written first: a decoder that ends the process leaves the file that did it behind.
        path.write_bytes(damage(intact))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if raster_format(path) is None:
                    read_header(path)
                prepare(read_image(path), INPUT)
            except PixelError:
                return

    check()
