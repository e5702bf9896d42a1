"""Which of the authors' two published descriptions a recipe follows."""

from enum import StrEnum


class Preset(StrEnum):
    """The authors' two recipes, which contradict each other."""

    PAPER = "paper"
    """The README that was submitted with the paper."""

    README = "readme"
    """The README of the public repository."""
