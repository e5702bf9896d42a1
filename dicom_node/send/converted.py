"""A result object in a transfer syntax other than that of its file."""

import io
from typing import Final

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ImplicitVRLittleEndian

from dicom_node.send.outcome import ObjectToSend

CONVERSION_ERRORS: Final = (
    OSError,
    InvalidDicomError,
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
    RuntimeError,
)
"""Errors of reading or decoding a file that is missing, broken or in an unknown encoding."""


def own_syntax_of(item: ObjectToSend) -> UID | None:
    """Return the transfer syntax of the file; None if the object is not to be sent in it.

    Raises
    ------
    OSError, InvalidDicomError, AttributeError
        The file cannot be read.
    """
    syntax = UID(str(read_file_meta_info(item.file).TransferSyntaxUID))
    return None if item.is_to_be_uncompressed and syntax.is_compressed else syntax


def converted(item: ObjectToSend, syntax: str) -> bytes:
    """Return the file of the same instance in an uncompressed transfer syntax.

    What is lossy stays marked so (PS3.3 C.7.6.1.1.5).

    Raises
    ------
    one of `CONVERSION_ERRORS`
    """
    dataset = pydicom.dcmread(item.file)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    encoded = io.BytesIO()
    dataset.save_as(encoded, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return encoded.getvalue()
