"""The digest of an object's whole content, from which its UIDs follow."""

import hashlib
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

_LARGE_BYTES: Final = 1 << 16
"""Values from this size on are digested where they lie, without a copy."""


def content_digest(dataset: Dataset) -> str:
    """Condense all that an object says to 64 hexadecimal digits.

    Nothing is left out, so that two objects of one digest are equal byte for byte.

    Parameters
    ----------
    dataset : complete, with file meta information
    """
    digest = hashlib.sha256(str(dataset.file_meta.TransferSyntaxUID).encode())
    small = Dataset()
    for element in dataset:
        if isinstance(element.value, bytes) and len(element.value) >= _LARGE_BYTES:
            digest.update(f"{element.tag} {element.VR} {len(element.value)}".encode())
            digest.update(element.value)
        else:
            small[element.tag] = element
    encoded = DicomBytesIO()
    encoded.is_little_endian, encoded.is_implicit_VR = True, False
    write_dataset(encoded, small)
    digest.update(encoded.getvalue())
    return digest.hexdigest()
