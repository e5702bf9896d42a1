"""Every error that training lets out, in one tree.

TrainingError
├── TableError                  a table is not of its format; the message names every bad row
└── LeakError                   a patient is on both sides of a split
"""

from mammoclip_core.errors import CoreError


class TrainingError(CoreError):
    """Base of the errors of training."""


class TableError(TrainingError):
    """The table is not of its format; the message names every bad row."""


class LeakError(TrainingError):
    """A patient is on both sides of a split."""
