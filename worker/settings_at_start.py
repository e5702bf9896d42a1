"""The settings that a worker was started with, for all its processes and for as long as it runs.

A process of the pool begins at any time: each would otherwise read whatever the file holds then,
half of a new one, another ledger, or nothing.
"""

from typing import Final

from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings

_kept: Final[list[Settings]] = []


def keep_settings() -> None:
    """Read the settings, and have this process and those that it forks use them from now on.

    Raises
    ------
    SettingsError
    """
    _kept[:] = [load_settings()]


def settings_at_start() -> Settings:
    """Return the settings that were kept; without any, those that the file holds now.

    Raises
    ------
    SettingsError
    """
    return _kept[0] if _kept else load_settings()
