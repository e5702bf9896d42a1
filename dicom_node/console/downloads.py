"""Objects of a study as one ZIP file that is made as it is sent, in little memory."""

import zipfile
from collections.abc import Iterator, Sequence
from typing import Final

from dicom_node.dicomweb.holdings import HeldObject

_PIECE_BYTES: Final = 262_144


class _Outlet:
    """What a ZIP file is written to: it keeps what was not taken yet, and cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Keep a piece."""
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: it is all in memory."""

    def taken(self) -> bytes:
        """Return what was written since."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def zipped(objects: Sequence[HeldObject]) -> Iterator[bytes]:
    """Yield a ZIP file of objects, each under its SOP Instance UID and stored as it is."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for held in objects:
            with (
                held.file.open("rb") as source,
                archive.open(f"{held.sop_instance_uid}.dcm", "w", force_zip64=True) as entry,
            ):
                while piece := source.read(_PIECE_BYTES):
                    entry.write(piece)
                    yield outlet.taken()
            yield outlet.taken()
    yield outlet.taken()
