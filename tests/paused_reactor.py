"""Messages that a test makes itself, on an association whose own thread takes no answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dicom_node.reactor_pause import pause_exactly


@contextmanager
def paused(association: Any) -> Iterator[None]:
    """Hold the association's thread until a message was answered."""
    pause_exactly(association)
    association._reactor_checkpoint.clear()
    try:
        yield
    finally:
        association._reactor_checkpoint.set()
