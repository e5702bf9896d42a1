"""The families of phantoms, by name."""

from enum import StrEnum


class Family(StrEnum):
    """Kinds of phantoms, each drawn by rules of its own.

    ``plain`` has one machine and few benign calcifications; ``varied`` is harder; ``filament`` is
    for testing only: its texture and its lesions are made by other means.
    """

    PLAIN = "plain"
    VARIED = "varied"
    FILAMENT = "filament"
