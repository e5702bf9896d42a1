"""The numbers of a header, where it holds any: damaged values count as absent."""

import math

from mammoclip_core.images.header.functional_groups import frame_groups
from mammoclip_core.images.header.views import HasAttributes, value_of


def numbers_of(item: HasAttributes, keyword: str) -> tuple[float, ...]:
    """Return all numbers of an attribute; empty where one of them is absent or not finite."""
    value = value_of(item, keyword)
    if value is None or isinstance(value, str | bytes):
        return ()
    try:
        numbers = tuple(map(float, value if hasattr(value, "__len__") else (value,)))
    except (TypeError, ValueError, OverflowError):
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def number_of(item: HasAttributes, keyword: str, default: float) -> float:
    """Return the first number of an attribute, or `default` where there is none."""
    return next(iter(numbers_of(item, keyword)), default)


def first_numbers(source: HasAttributes, frame: int, group: str, keyword: str) -> tuple[float, ...]:
    """Return the numbers of an attribute in a frame's functional group, else in the header."""
    items: list[HasAttributes] = [*frame_groups(source, frame, group), source]
    return next((found for item in items if (found := numbers_of(item, keyword))), ())
