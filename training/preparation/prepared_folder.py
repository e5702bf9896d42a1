"""The prepared folder: one run at a time, one size, and a journal of what is finished."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from training.data.prepared_size import SETTINGS_NAME
from training.data.run_journal import alone, enter, entries_of
from training.errors import SettingsError
from training.preparation.dicom_header import DicomHeader
from training.preparation.picture import PICTURES, Picture
from training.whole_file import UNFINISHED, write_whole

JOURNAL_NAME: Final = "prepared.jsonl"


class PreparedFolder:
    """What a prepared folder holds; from `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal = path / JOURNAL_NAME
        self._pictures = _read_journal(self._journal)
        self._of_file = {file: picture for (file, _), picture in self._pictures.items()}

    def picture(self, source: Path, file: str, image: str) -> Picture | None:
        """Return a finished picture, if its DICOM file is still what it was and it is all there."""
        found = self._pictures.get((file, image))
        if found is None:
            return None
        try:
            now = (source / file).stat()
            size = (self.path / PICTURES / image).stat().st_size
        except OSError:
            return None
        is_same = (now.st_size, now.st_mtime_ns) == (found.file_bytes, found.file_time)
        return found if is_same and size == found.image_bytes else None

    def known_header(self, source: Path, file: str) -> DicomHeader | None:
        """Return the header of a file that a picture was made of, if the file is what it was."""
        found = self._of_file.get(file)
        if found is None or self.picture(source, file, found.image) is None:
            return None
        return found.header

    def note(self, picture: Picture) -> None:
        """Enter a finished picture: a killed run takes up after the last line."""
        self._pictures[picture.file, picture.image] = picture
        enter(self._journal, [asdict(picture)])


@contextmanager
def opened(path: Path, settings: dict[str, Any]) -> Iterator[PreparedFolder]:
    """Open a prepared folder for this run alone, or make it.

    Raises
    ------
    SettingsError
        Another run works in it, it was prepared with other settings, or it holds pictures that
        were not made here.
    """
    path.mkdir(parents=True, exist_ok=True)
    with alone(path / ".lock", f"{path}: another run prepares images into this folder"):
        _settle(path, settings)
        for left in (path / PICTURES).rglob(f"*{UNFINISHED}"):
            left.unlink()
        yield PreparedFolder(path)


def _settle(path: Path, settings: dict[str, Any]) -> None:
    """Hold the folder to its settings, or enter them where it is new."""
    stated = path / SETTINGS_NAME
    if not stated.exists():
        if (path / PICTURES).exists():
            raise SettingsError(f"{path / PICTURES} holds pictures that were not made here")
        write_whole(stated, json.dumps(settings) + "\n")
        return
    try:
        earlier = json.loads(stated.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f"{stated} cannot be read: {error}") from error
    if earlier != settings:
        raise SettingsError(
            f"{path} was prepared with {_said(earlier)}; "
            f"this run has {_said(settings)}: name another folder"
        )


def _said(settings: Any) -> str:
    if not isinstance(settings, dict):
        return repr(settings)
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _read_journal(path: Path) -> dict[tuple[str, str], Picture]:
    """Read the finished pictures."""
    found: dict[tuple[str, str], Picture] = {}
    for entry in entries_of(path):
        try:
            picture = _picture_of(entry)
        except (ValueError, TypeError, KeyError):
            continue
        found[picture.file, picture.image] = picture
    return found


def _picture_of(entry: dict[str, Any]) -> Picture:
    return Picture(
        **{
            **entry,
            "header": DicomHeader(**entry["header"]),
            "column_runs": tuple((int(a), int(b)) for a, b in entry["column_runs"]),
            "row_runs": tuple((int(a), int(b)) for a, b in entry["row_runs"]),
        }
    )
