"""Everything that ``mammoclip-node check`` says, for its command line and the REST API."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain

from dicom_node.commands.checks.check import notes_of, run_checks
from dicom_node.commands.checks.check_running import check_running
from dicom_node.commands.checks.checked import Checked, Level
from dicom_node.commands.checks.disk_forecast import disk_forecast
from dicom_node.settings.settings import Settings


def all_checks(settings: Settings, *, old_after: timedelta | None) -> Iterator[Checked]:
    """Yield what was found of each thing, as it is found.

    Parameters
    ----------
    old_after : work that has waited for longer is a warning; None: do not ask whether anything runs
    """
    running = () if old_after is None else check_running(settings, old_after=old_after)
    return chain(run_checks(settings), running)


def notes_below(settings: Settings) -> list[str]:
    """Return what is paused, how fast the disk fills, and what the retention frees of it."""
    return [*notes_of(settings), *disk_forecast(settings)]


def check_document(settings: Settings, *, old_after: timedelta | None) -> dict[str, object]:
    """Return it all as the REST API has it: lines, and the exit status."""
    found = list(all_checks(settings, old_after=old_after))
    return {
        "lines": [one.in_words() for one in found]
        + [f"note  {note}" for note in notes_below(settings)],
        "level": max((one.level for one in found), default=Level.OK).value,
    }
