"""Whether an object that was asked for is of the patient that the archive has named."""

import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Final

from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from dicom_node.errors import MismatchedStudyError

BEGINNING_BYTES: Final = 262_144
"""How much of a data set is looked at."""

OF_ANOTHER_PATIENT: Final = "the archive sent an image of another patient than it had said"

_PATIENT_ID: Final = 0x00100020


def may_be_of(
    patient_id: str, beginning: bytes, transfer_syntax_uid: str, *, is_whole: bool
) -> bool:
    """Compare the Patient ID of a data set; no more of it is read.

    Parameters
    ----------
    patient_id : empty: any
    is_whole : whether nothing of the data set comes behind its beginning
    """
    if not patient_id:
        return True
    syntax = UID(transfer_syntax_uid)
    behind: list[BaseTag] = []

    def is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        behind.extend([tag] * (tag > _PATIENT_ID))
        return bool(behind)

    try:
        if syntax.is_deflated:
            inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            beginning = inflater.decompress(beginning, BEGINNING_BYTES)
            is_whole = is_whole and inflater.eof
        start = read_dataset(
            BytesIO(beginning),
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=is_behind,
        )
        named = str(start.get("PatientID") or "").strip(" \0")
    except Exception:  # noqa: BLE001  a damaged header is the registrar's to set aside
        return is_whole
    if not named:
        # What names nobody so far may name somebody else further on.
        return is_whole or bool(behind)
    return named == patient_id


def of_patient(
    patient_id: str, transfer_syntax_uid: str, parts: Iterable[memoryview]
) -> Iterator[bytes | memoryview]:
    """Pass the parts of a data set on, once its beginning names no other patient.

    Raises
    ------
    MismatchedStudyError
        It names another one, or nobody can tell.
    """
    coming, beginning = iter(parts), bytearray()
    for part in coming:
        beginning += part
        if len(beginning) >= BEGINNING_BYTES:
            break
    is_whole = len(beginning) < BEGINNING_BYTES
    if not may_be_of(patient_id, bytes(beginning), transfer_syntax_uid, is_whole=is_whole):
        raise MismatchedStudyError(OF_ANOTHER_PATIENT)
    yield bytes(beginning)
    yield from coming
