"""The greys of an image, written into a presentation state as the image itself has them."""

import math
from dataclasses import replace
from typing import Final

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.objects.drawing.rendering import is_inverted, table_of, window_of
from mammoclip_core.images.header.header_numbers import number_of
from mammoclip_core.images.stored_image import LookUpTable

_WHOLE_RANGE: Final = 1 << 16
"""A table of so many entries is said to have 0 (PS3.3 C.11.1.1.1)."""

_BYTE: Final = 8
_WORD: Final = 16
"""Bits of an entry of a table (PS3.3 C.11.1.1.1, C.11.2.1.1).

The standard allows what is between them for some uses. Readers take those for bytes, and dciodvfy
for an error.
"""


def set_greys(state: Dataset, source: Dataset, reference: Dataset) -> None:
    """Copy Modality LUT, VOI LUT or window, and polarity of an image.

    An image without a window that can be applied leaves the viewer its own.

    Parameters
    ----------
    reference : item that names the image, or the frame of it

    References
    ----------
    PS3.3 C.11.1, C.11.8, C.11.6.
    """
    _set_modality_lut(state, source)
    voi = _voi_of(source)
    if voi is not None:
        voi.ReferencedImageSequence = [reference]
        state.SoftcopyVOILUTSequence = [voi]
    state.PresentationLUTShape = "INVERSE" if is_inverted(source) else "IDENTITY"


def _set_modality_lut(state: Dataset, source: Dataset) -> None:
    table = table_of(source, "ModalityLUTSequence")
    if table is not None:
        item = _written(table)
        item.ModalityLUTType = str(source.ModalityLUTSequence[0].get("ModalityLUTType") or "US")
        state.ModalityLUTSequence = [item]
        return
    slope = number_of(source, "RescaleSlope", math.nan)
    intercept = number_of(source, "RescaleIntercept", math.nan)
    if math.isfinite(slope) and math.isfinite(intercept) and slope != 0.0:
        state.RescaleIntercept, state.RescaleSlope = intercept, slope
        state.RescaleType = str(source.get("RescaleType") or "US")


def _voi_of(source: Dataset) -> Dataset | None:
    table = table_of(source, "VOILUTSequence")
    if table is not None:
        voi = Dataset()
        voi.VOILUTSequence = [_written(_over_whole_entries(table))]
        return voi
    window = window_of(source)
    if window is None:
        return None
    center, width, function = window
    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth = center, width
    if function != "LINEAR":
        voi.VOILUTFunction = function
    return voi


def _over_whole_entries(table: LookUpTable) -> LookUpTable:
    """Stretch the greys of a VOI LUT over 8 or 16 bits: what is shown stays the same."""
    bits = _BYTE if table.bits <= _BYTE else _WORD
    if table.bits == bits:
        return table
    shares = np.minimum(table.entries / float((1 << table.bits) - 1), 1.0)
    entries = np.rint(shares * float((1 << bits) - 1)).astype(np.uint16)
    return replace(table, entries=entries, bits=bits)


def _written(table: LookUpTable) -> Dataset:
    """Write a look-up table anew: in the source its value representation may be ambiguous."""
    written = Dataset()
    signed = "SS" if table.first < 0 else "US"
    entries = 0 if len(table.entries) == _WHOLE_RANGE else len(table.entries)
    bits = _BYTE if table.bits <= _BYTE else _WORD
    written.add(DataElement("LUTDescriptor", signed, [entries, table.first, bits]))
    # Entries of 8 bits are as long as a byte, all others as a word (PS3.3 C.11.1.1.1).
    data = table.entries.astype("u1" if bits == _BYTE else "<u2").tobytes()
    written.add(DataElement("LUTData", "OW", data + b"\0" * (len(data) % 2)))
    return written
