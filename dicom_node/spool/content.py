"""The content of a file that is to be written: whole, or in parts that are not put together."""

from collections.abc import Sequence
from typing import TypeAlias

Content: TypeAlias = bytes | memoryview | Sequence[bytes | memoryview]
"""Bytes, or parts in the order of the file."""


def parts_of(content: Content) -> Sequence[bytes | memoryview]:
    """Return the parts of a content, in the order of the file."""
    return [content] if isinstance(content, bytes | memoryview) else content
