"""The size of pictures that were prepared, as it stands beside their tables."""

import json
from pathlib import Path
from typing import Final

from training.errors import TableError

SETTINGS_NAME: Final = "preparation.json"
"""Lies in a folder of ``mammoclip-train prepare``, beside the tables that it wrote."""


def prepared_size(table: Path) -> tuple[int, int] | None:
    """Return (rows, columns) of the pictures that a table was written with.

    None where it does not lie in a prepared folder.

    Raises
    ------
    TableError
        What lies there states no size.
    """
    stated = table.parent / SETTINGS_NAME
    if not stated.is_file():
        return None
    try:
        settings = json.loads(stated.read_text(encoding="utf-8"))
        return int(settings["rows"]), int(settings["columns"])
    except (ValueError, TypeError, KeyError) as error:
        raise TableError(
            f"{stated} states no size of pictures: prepare them again, into another folder"
        ) from error
