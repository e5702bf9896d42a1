"""Headers that ask for impossible greys: a prepared image or a declared error, nothing else."""

import os
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from core_factory import breast, mammogram, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword

from mammoclip_core.errors import PixelError
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.manifest import Preprocessing

EXAMPLES = int(os.environ.get("MAMMOCLIP_FUZZ_EXAMPLES", "150"))
"""Raise it for a long run."""

CLINICAL = Preprocessing(mode="clinical", rows=95, columns=57, mean=0.3089279, std=0.2505355)
VALUES = breast(90, 74, seed=1)
PIXELS = {
    "uint8": (VALUES >> 4).astype(np.uint8),
    "int8": ((VALUES >> 4).astype(np.int16) - 128).astype(np.int8),
    "uint16": VALUES,
    "int16": VALUES.astype(np.int16) - 2048,
    "full": (VALUES.astype(np.uint32) * 16).astype(np.uint16),
}

TEXTS = ["", " ", "0", "-1", "1", "1.0000001", "nan", "inf", "-inf", "1e308", "-1e308", "1e-320"]
TEXTS += ["1e400", "2048\\4096", "\\", "\\5", "abc", "65536", "-32768", "9" * 16, "\0"]
FUNCTIONS = ["LINEAR", "LINEAR_EXACT", "SIGMOID", "sigmoid ", "CUBIC", "", "\0", "LINEAR\\SIGMOID"]
SHAPES = ["IDENTITY", "INVERSE", "inverse", "LIN OD", "", "\xff"]


def encoded(text: str) -> bytes:
    return text.encode("latin-1")


numbers = st.one_of(
    st.sampled_from(TEXTS).map(str.encode),
    st.floats().map(lambda value: f"{value:.6g}".encode()),
    st.binary(max_size=18),
)
words = st.one_of(
    st.integers(0, 0xFFFF).map(lambda value: struct.pack("<H", value)),
    st.binary(max_size=6),
)
descriptors = st.one_of(
    st.tuples(
        st.sampled_from([0, 1, 2, 255, 256, 4096, 65535]),
        st.sampled_from([0, 1, 2047, 32768, 65535]),
        st.sampled_from([0, 1, 8, 10, 12, 16, 17, 65535]),
    ).map(lambda numbers: struct.pack("<HHH", *numbers)),
    st.binary(max_size=8),
)
entries = st.one_of(
    st.sampled_from([b"", b"\0", b"\0\0", b"\xff\xff" * 7, bytes(8192)]),
    st.just(np.linspace(0, 4095, 4096).astype("<u2").tobytes()),
    st.binary(max_size=64),
)
tables = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "LUTDescriptor": st.tuples(st.sampled_from(["US", "SS", "OW", "UN"]), descriptors),
            "LUTData": st.tuples(st.sampled_from(["OW", "US", "OB", "UN"]), entries),
        },
    ),
    max_size=2,
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "WindowCenter": st.tuples(st.just("DS"), numbers),
        "WindowWidth": st.tuples(st.just("DS"), numbers),
        "VOILUTFunction": st.tuples(st.just("CS"), st.sampled_from(FUNCTIONS).map(encoded)),
        "PresentationLUTShape": st.tuples(st.just("CS"), st.sampled_from(SHAPES).map(encoded)),
        "RescaleSlope": st.tuples(st.just("DS"), numbers),
        "RescaleIntercept": st.tuples(st.just("DS"), numbers),
        "PixelPaddingValue": st.tuples(st.sampled_from(["US", "SS", "UN"]), words),
        "PixelPaddingRangeLimit": st.tuples(st.sampled_from(["US", "SS", "UN"]), words),
        "VOILUTSequence": tables,
        "ModalityLUTSequence": tables,
    },
)


def element(keyword: str, vr: str, content: bytes) -> bytes:
    """Encode an element in Explicit VR Little Endian, whatever its content (PS3.5 7.1.2)."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    content += b" " * (len(content) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in {"OB", "OW", "SQ", "UN"}:
        return head + struct.pack("<HL", 0, len(content)) + content
    return head + struct.pack("<H", len(content) % (1 << 16)) + content[: (1 << 16) - 2]


def hostile_elements(header: dict[str, Any]) -> bytes:
    encoded_header = b""
    for keyword, content in header.items():
        if isinstance(content, tuple):
            encoded_header += element(keyword, *content)
            continue
        items = b""
        for table in content:
            parts = b"".join(element(part, *value) for part, value in table.items())
            items += struct.pack("<HHL", 0xFFFE, 0xE000, len(parts)) + parts
        encoded_header += element(keyword, "SQ", items)
    return encoded_header


def written_with(
    values: NDArray[Any], photometric: str, header: dict[str, Any], path: Path
) -> None:
    """Write a mammogram, and the elements of the header before its pixels."""
    dataset = mammogram(values, PhotometricInterpretation=photometric)
    if values.max() > 4095:
        dataset.BitsStored, dataset.HighBit = 16, 15
    before, pixel_data, after = save(dataset, path).read_bytes().partition(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(before + hostile_elements(header) + pixel_data + after)


def test_hostile_header_gives_an_image_or_a_declared_error(tmp_path: Path) -> None:
    path = tmp_path / "hostile.dcm"
    outcomes = {"image": 0, "error": 0}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        headers,
        st.sampled_from(list(PIXELS)),
        st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    )
    def check(header: dict[str, Any], kind: str, photometric: str) -> None:
        written_with(PIXELS[kind], photometric, header, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                prepared = prepare(read_image(path), CLINICAL)
            except PixelError:
                outcomes["error"] += 1
                return
        outcomes["image"] += 1
        assert prepared.values.shape == (95, 57)
        assert np.isfinite(prepared.values).all()
        left, top, right, bottom = prepared.geometry.extent
        assert 0 <= left < right <= 74
        assert 0 <= top < bottom <= 90

    check()

    assert outcomes["image"] > EXAMPLES / 4
