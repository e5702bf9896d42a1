"""Every error that training lets out, in one tree.

TrainingError
├── TableError                  a table is not of its format; the message names every bad row
├── SettingsError               what is to be trained cannot be built as the settings say
├── DivergedError               a loss, gradient or weight is not finite; nothing of it is written
└── LeakError                   a patient is on both sides of a split
"""

from mammoclip_core.errors import CoreError


class TrainingError(CoreError):
    """Base of the errors of training."""


class TableError(TrainingError):
    """The table is not of its format; the message names every bad row."""


class SettingsError(TrainingError):
    """What is to be trained cannot be built as the settings say."""


class DivergedError(TrainingError):
    """A loss, gradient or weight is not finite: training ended, and nothing of it is written."""


class LeakError(TrainingError):
    """A patient is on both sides of a split."""
