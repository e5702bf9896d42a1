"""Tell an object that this software wrote from one that a scanner sent."""

from typing import Final

from mammoclip_core.images.header.views import HasAttributes, value_of

MANUFACTURER: Final = "Mammo-CLIP DICOM project"
"""Manufacturer (0008,0070) of every result object."""

MODEL_NAME: Final = "mammoclip-dicom"
"""ManufacturerModelName (0008,1090) of every result object."""


def is_own_result(dataset: HasAttributes) -> bool:
    """Tell whether this software wrote `dataset`, so that a result is never analysed again."""
    written_by = (value_of(dataset, key) for key in ("Manufacturer", "ManufacturerModelName"))
    return tuple(str(value or "").strip() for value in written_by) == (MANUFACTURER, MODEL_NAME)
