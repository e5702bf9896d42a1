"""Which bits of a pixel's word hold overlay planes, as older systems write them."""

from typing import Any, Final

_OVERLAY_GROUPS: Final = range(0x6000, 0x6020, 2)
_BIT_POSITION: Final = 0x0102
_DATA: Final = 0x3000
_HIGHEST_BIT: Final = 15


def embedded_overlay_bits(dataset: Any) -> int:
    """Return the mask of the bits that the header gives to overlay planes; 0 if there are none.

    A plane of its own data stands beside the pixels and takes none of their bits.

    References
    ----------
    PS3.3 C.9.2 (Overlay Bit Position); planes within the pixel data are retired since 2004.
    """
    mask = 0
    for group in _OVERLAY_GROUPS:
        position = dataset.get((group, _BIT_POSITION))
        if position is None or (group, _DATA) in dataset:
            continue
        if isinstance(position.value, int) and 0 < position.value <= _HIGHEST_BIT:
            mask |= 1 << position.value
    return mask
