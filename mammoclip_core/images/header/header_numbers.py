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


def number_or_none(item: HasAttributes, keyword: str) -> float | None:
    """Return the first value of an attribute where it is a finite number, else None."""
    value = value_of(item, keyword)
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        number = float(value[0] if hasattr(value, "__len__") else value)
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def number_of(item: HasAttributes, keyword: str, default: float) -> float:
    """Return the first value of an attribute where it is a finite number, else `default`."""
    number = number_or_none(item, keyword)
    return default if number is None else number


def first_numbers(source: HasAttributes, frame: int, group: str, keyword: str) -> tuple[float, ...]:
    """Return the numbers of an attribute in a frame's functional group, else in the header."""
    items: list[HasAttributes] = [*frame_groups(source, frame, group), source]
    return next((found for item in items if (found := numbers_of(item, keyword))), ())
