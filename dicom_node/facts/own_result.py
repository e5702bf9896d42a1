"""Tell an object that this software wrote from one that a scanner sent."""

from typing import Any, Final

MANUFACTURER: Final = "Mammo-CLIP DICOM project"
"""Manufacturer (0008,0070) of every result object."""

MODEL_NAME: Final = "mammoclip-dicom"
"""ManufacturerModelName (0008,1090) of every result object."""


def is_own_result(dataset: Any) -> bool:
    """Tell whether this software wrote `dataset`, so that a result is never analysed again.

    Parameters
    ----------
    dataset : anything with ``get(keyword)``, as a pydicom data set
    """
    written_by = (dataset.get("Manufacturer"), dataset.get("ManufacturerModelName"))
    return tuple(str(value or "").strip() for value in written_by) == (MANUFACTURER, MODEL_NAME)
