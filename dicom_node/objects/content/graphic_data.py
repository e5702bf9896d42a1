"""The coordinates of a content item as one element, however many they are."""

from collections.abc import Iterable
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

_GRAPHIC_DATA: Final = BaseTag(0x00700022)


def graphic_data(coordinates: Iterable[float]) -> DataElement:
    """Return Graphic Data, written as it is given.

    The library looks at each number by itself, which takes longer than all else of a long outline.

    References
    ----------
    PS3.3 C.18.6.1.
    """
    values = MultiValue(float, coordinates)
    return DataElement(_GRAPHIC_DATA, VR.FL, values, already_converted=True)
