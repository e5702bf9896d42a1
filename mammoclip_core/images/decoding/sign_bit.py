"""Whether values that use their highest bit are negative or large, as what continues tells it."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CONTINUOUS: Final = 0.25
"""Mean step between neighbours, as part of the range of all values, above which none is an image's.
Neighbours without connection differ by a third."""

CLEARLY: Final = 2.0
"""How many times rougher every other way of reading has to be."""

_COMPARED_PIXELS: Final = 1 << 19

_VALUES_OF_A_DRAWING: Final = 4
"""Different values of a text, a frame or a border that somebody set in the pixels, at most."""


def other_sign_continues(
    patterns: NDArray[Any], bits: int, is_padding: NDArray[np.bool_], *, signed: bool
) -> bool:
    """Tell whether only the sign that is not expected makes neighbours continue each other.

    Two neighbours of which one has the highest bit differ by some step without sign, and by the
    rest to 2 to the power of `bits` with sign: an image has a small step the one way alone. A
    text at one end of the range on a background at the other has it the wrong way, and few values.

    Parameters
    ----------
    patterns : (rows, columns) of an unsigned type
        Less than 2 to the power of `bits`, padding aside.
    bits : the highest of them would be the sign
    is_padding : (rows, columns)
        Pixels that do not count.
    signed : whether a sign is expected
    """
    half = 1 << bits - 1
    # Of a large image some of its lines tell as much as all, in a bounded memory and time.
    every = -(-patterns.size // _COMPARED_PIXELS)
    steps = []
    for is_turned in (False, True):
        value, padding = ((one.T if is_turned else one)[::every] for one in (patterns, is_padding))
        is_high = value >= half
        differ = is_high[:, 1:] != is_high[:, :-1]
        places = np.nonzero(differ & ~padding[:, 1:] & ~padding[:, :-1])
        before = value[:, :-1][places].astype(np.int32)
        steps.append(np.abs(before - value[:, 1:][places]))
    step = np.concatenate(steps)
    if not step.size:
        return False
    without_sign = float(step.mean())
    with_sign = 2 * half - without_sign
    if (without_sign if signed else with_sign) >= CONTINUOUS * 2 * half:
        return False
    counts = np.bincount(patterns[::every][~is_padding[::every]], minlength=2 * half)
    lows, highs = (np.nonzero(side)[0] for side in (counts[:half], counts[half:]))
    if min(len(lows), len(highs)) <= _VALUES_OF_A_DRAWING:
        return False
    without_sign /= int(half + highs[-1] - lows[0])
    with_sign /= int(half + lows[-1] - highs[0])
    expected, other = (with_sign, without_sign) if signed else (without_sign, with_sign)
    return other < CONTINUOUS and expected >= CLEARLY * other
