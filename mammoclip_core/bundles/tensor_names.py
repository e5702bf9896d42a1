"""Names of tensors in words: a few of many, and how two sets of them differ."""

from collections.abc import Mapping
from typing import Any, Final

_NAMED_AT_MOST: Final = 10


def listed(names: Any, at_most: int = _NAMED_AT_MOST) -> str:
    """Name some things in order, and count the rest."""
    ordered = sorted(names)
    more = len(ordered) - at_most
    return ", ".join(ordered[:at_most]) + (f" and {more} more" if more > 0 else "")


def tensor_differences(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> str:
    """Tell which tensors are missing, unknown or of another shape; empty if all are as expected."""
    complaints = {
        "missing": expected.keys() - found.keys(),
        "unknown": found.keys() - expected.keys(),
        "of another shape": {
            f"{name} {found[name]} instead of {expected[name]}"
            for name in expected.keys() & found.keys()
            if expected[name] != found[name]
        },
    }
    return "; ".join(f"{word}: {listed(names)}" for word, names in complaints.items() if names)
