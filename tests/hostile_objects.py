"""Objects made to harm whoever reads them, each as a hostile sender writes it."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from unit.dicom_node.node_factory import encoded, mammogram

JPEG_XL = "1.2.840.10008.1.2.4.110"
ROWS, COLUMNS = 640, 480
UNDEFINED = 0xFFFFFFFF
LONG_VRS = {b"OB", b"OW", b"OF", b"SQ", b"UC", b"UN", b"UR", b"UT", b"ZZ"}
UID_TAGS = {
    "SOPInstanceUID": 0x00080018,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
}
NO_UIDS = {
    "a path": b"../escaped",
    "an absolute path": b"/tmp/escaped",
    "a Windows path": b"C:\\escaped",
    "64 KB": b"1." * 32_000,
    "a NUL": b"1.2\x00.3",
    "UTF-8": "1.2.\N{GREEK SMALL LETTER ALPHA}.3".encode(),
    "a script": b"<script>1.2</script>",
    "nothing": b"",
}


@dataclass(frozen=True)
class Hostile:
    """One object, the request under which it is sent, and what may become of it.

    Attributes
    ----------
    outcomes : reasons
        ``registered``, ``refused``, or the reason with which it is set aside.
    """

    content: bytes
    outcomes: frozenset[str]
    uid: bytes
    syntax: str = ExplicitVRLittleEndian
    calling: str = "HOSTILE"


def element(tag: int, vr: bytes, value: bytes = b"", *, length: int | None = None) -> bytes:
    """Encode an element, Explicit VR Little Endian, which claims its length or another one."""
    claimed = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    packed = struct.pack("<HL", 0, claimed) if vr in LONG_VRS else struct.pack("<H", claimed)
    return head + packed + value


def item(content: bytes = b"", *, length: int | None = None) -> bytes:
    claimed = len(content) if length is None else length
    return struct.pack("<HHL", 0xFFFE, 0xE000, claimed) + content


def image(
    number: int,
    *extra: bytes,
    pixels: bytes | None = None,
    without: Iterable[str] = (),
    **attributes: Any,
) -> tuple[bytes, bytes]:
    """Return a mammogram of a study of its own with elements as they are; and its SOP UID."""
    root = f"1.2.826.0.1.3680043.8.498.66.{number}"
    attributes = {
        "StudyInstanceUID": root,
        "SOPInstanceUID": f"{root}.1",
        "Rows": ROWS,
        "Columns": COLUMNS,
        **attributes,
    }
    dataset = mammogram(without=["PixelData", *without], **attributes)
    pixels = element(0x7FE00010, b"OW", bytes(ROWS * COLUMNS * 2)) if pixels is None else pixels
    return encoded(dataset) + b"".join(extra) + pixels, f"{root}.1".encode()


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def encapsulated(*frames: bytes) -> bytes:
    """Encode pixel data of some fragments, after an empty offset table."""
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    fragments = item() + b"".join(item(frame + bytes(len(frame) % 2)) for frame in frames)
    return element(0x7FE00010, b"OB", fragments + end, length=UNDEFINED)


def size_segment(columns: int, rows: int, components: int, tile: int) -> bytes:
    """Encode the start of a JPEG 2000 codestream, down to its SIZ segment (ISO 15444-1 A.5.1)."""
    body = struct.pack(
        ">HLLLLLLLLH", 0, columns, rows, 0, 0, tile, tile, 0, 0, components
    ) + b"\x0b\x01\x01" * min(components, 20_000)
    return b"\xff\x4f\xff\x51" + struct.pack(">H", (len(body) + 2) & 0xFFFF) + body


def tables(number: Iterator[int]) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    """Yield images whose tables of values are empty, too short or as long as can be."""
    palette = {"PhotometricInterpretation": "PALETTE COLOR"}
    descriptors = [element(0x00281101 + n, b"US", bytes(6)) for n in range(3)]
    yield "A6 palette of no entries", image(next(number), *descriptors, **palette)
    lut = item(element(0x00283002, b"US", struct.pack("<HHH", 0, 0, 16)))
    yield "A6 VOI LUT of no values", image(next(number), element(0x00283010, b"SQ", lut))

    for name, (stated, held) in {
        "without most of its values": (4096, 10),
        "of 65,536 values of 16 bits": (0, 65_536),
    }.items():
        described = struct.pack("<HHH", stated, 0, 16)
        values = element(0x00283006, b"OW", bytes(range(256)) * (held // 128) + bytes(held % 128))
        for kind, tag in {"VOI": 0x00283010, "Modality": 0x00283000}.items():
            table = item(element(0x00283002, b"US", described) + values)
            yield f"A6 {kind} LUT {name}", image(next(number), element(tag, b"SQ", table))
    descriptors = [
        element(0x00281101 + n, b"US", struct.pack("<HHH", 256, 0, 16)) for n in range(3)
    ]
    colors = [element(0x00281201 + n, b"OW", bytes(20)) for n in range(3)]
    yield (
        "A6 palette without most of its colors",
        image(next(number), *descriptors, *colors, **palette),
    )


def hostile_objects() -> Iterator[tuple[str, Hostile]]:
    """Yield each object with its row of the attack list and a name."""
    number = iter(range(1, 10_000))

    def made(
        outcomes: set[str], content: bytes, uid: bytes, syntax: str = ExplicitVRLittleEndian
    ) -> Hostile:
        return Hostile(content, frozenset(outcomes), uid, syntax)

    for keyword, tag in UID_TAGS.items():
        for name, value in NO_UIDS.items():
            content, uid = image(
                next(number), element(tag, b"UI", value + bytes(len(value) % 2)), without=[keyword]
            )
            reason = "missing-uid" if name == "nothing" else "invalid-uid"
            yield f"A1 {keyword}: {name}", made({reason}, content, uid)
    for name, value in NO_UIDS.items():
        content, _ = image(next(number))
        yield f"A2 request: {name}", made({"refused", "mismatched-uid"}, content, value)
    content, _ = image(next(number))
    yield "A2 request for another instance", made({"mismatched-uid"}, content, b"1.2.3")

    size = {"rows": 0x00280010, "columns": 0x00280011}
    for name, values in {
        "Rows and Columns of 32 bits": (element(size["rows"], b"UL", struct.pack("<L", 2**31)),),
        "product over 2^32": tuple(
            element(tag, b"UL", struct.pack("<L", 2**17)) for tag in size.values()
        ),
        "negative Rows": (element(size["rows"], b"SL", struct.pack("<l", -4)),),
        "Rows of 4 bytes": (element(size["rows"], b"US", bytes([0, 4, 0, 0])),),
        "65,535 x 65,535": tuple(element(tag, b"US", b"\xff\xff") for tag in size.values()),
        "2^31 frames": (element(0x00280008, b"IS", b"2147483648"),),
        "-1 frames": (element(0x00280008, b"IS", b"-1"),),
    }.items():
        content, uid = image(next(number), *values)
        yield f"A5 {name}", made({"registered"}, content, uid)
    content, uid = image(next(number), BitsAllocated=64, BitsStored=64, HighBit=63)
    yield "A5 64 bits", made({"registered"}, content, uid)

    for name, (content, uid) in tables(number):
        yield name, made({"registered"}, content, uid)

    name = "A7 100 MB of zeros behind 100 KB"
    yield (
        name,
        Hostile(
            deflated(bytes(100_000_000)),
            frozenset({"unreadable-object"}),
            b"1.2.3",
            DeflatedExplicitVRLittleEndian,
        ),
    )
    nest = element(0x00540220, b"SQ", length=UNDEFINED) + item(length=UNDEFINED)
    yield (
        "A7 deflated sequences in each other",
        made(
            {"unreadable-object"}, deflated(nest * 10_000), b"1.2.3", DeflatedExplicitVRLittleEndian
        ),
    )
    yield "A8 10,000 sequences in each other", made({"unreadable-object"}, nest * 10_000, b"1.2.3")
    content, uid = image(next(number), element(0x00540220, b"SQ", length=UNDEFINED), pixels=b"")
    yield "A8 sequence that never ends", made({"unreadable-object"}, content, uid)
    content, uid = image(next(number), element(0x00540220, b"SQ", item(b"", length=2**31 - 2)))
    yield (
        "A8 item that is longer than the object",
        made({"registered", "unreadable-object"}, content, uid),
    )
    for name, length in {"undefined length": UNDEFINED, "a length": None}.items():
        views = element(0x00540220, b"SQ", item() * 10**6, length=length)
        content, uid = image(next(number), views, without=["ViewPosition"])
        yield f"A8 10^6 empty items of {name}", made({"unreadable-object"}, content, uid)

    content, uid = image(next(number))
    for name, meta in {
        "unknown VR": element(0x00020010, b"ZZ", bytes(8)),
        "wrong group length": element(0x00020000, b"UL", b"\xff\xff\xff\x7f"),
        "2 GB": element(0x00020102, b"OB", length=2**31 - 2),
    }.items():
        yield (
            f"A9 file meta information: {name}",
            made(
                {"registered", "unreadable-object", "mismatched-uid", "same-uid-other-content"},
                meta + content,
                uid,
            ),
        )

    one_segment = struct.pack("<16L", 1, 64, *[0] * 14)
    streams = {
        "A10 60,000 x 60,000": (size_segment(60_000, 60_000, 1, 60_000), JPEG2000),
        "A10 tiles of 1 x 1": (size_segment(COLUMNS, ROWS, 1, 1), JPEG2000),
        "A10 16,384 components": (size_segment(COLUMNS, ROWS, 16_384, COLUMNS), JPEG2000),
        "A10 cut off": (size_segment(COLUMNS, ROWS, 1, COLUMNS), JPEG2000),
        "A11 JPEG-LS without end": (b"\xff\xd8" + b"\xff\xf7\x00\x0b" * 10**5, JPEGLSLossless),
        "A11 10^5 scans": (b"\xff\xd8" + b"\xff\xda\x00\x08" * 10**5, JPEGLosslessSV1),
        "A11 RLE segments past the end": (struct.pack("<16L", 15, *[2**31] * 15), RLELossless),
        "A11 RLE of 128 MB": (one_segment + b"\x81\0" * 10**6, RLELossless),
        "A12 HTJ2K": (size_segment(60_000, 60_000, 1, 60_000), HTJ2K),
        "A12 private transfer syntax": (bytes(100), "1.2.826.0.1.3680043.8.498.1.2.3"),
        "A12 JPEG XL": (b"\xff\x0a" + bytes(100), JPEG_XL),
    }
    for name, (stream, syntax) in streams.items():
        content, uid = image(next(number), pixels=encapsulated(stream))
        yield name, Hostile(content, frozenset({"registered", "refused"}), uid, syntax)

    content, uid = image(next(number))
    yield "A13 begins as a program does", made({"unreadable-object"}, b"MZ" + content, b"1.2.3")

    for name, value in {
        "characters that are none": b"ISO_IR 999",
        "escapes": b"\\ISO 2022 IR 87",
        "UTF-8 that is none": b"ISO_IR 192",
        "endless": b"ISO 2022 IR 6\\" * 4000,
    }.items():
        patient = b"\xc0\xaf\x1b$B\xff^\x1b(Z\xed\xa0\x80"
        content, uid = image(
            next(number),
            element(0x00080005, b"CS", value + b" " * (len(value) % 2)),
            element(0x00100010, b"PN", patient + b" " * (len(patient) % 2)),
            without=["SpecificCharacterSet", "PatientName"],
        )
        yield f"A15 {name}", made({"registered", "unreadable-object"}, content, uid)
