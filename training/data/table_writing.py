"""Tables as CSV files, whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING

from training.whole_file import whole_file

if TYPE_CHECKING:
    import pandas as pd


def write_table(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table; it has its name only once it is whole."""
    with whole_file(path) as stream:
        frame.to_csv(stream, index=False, encoding="utf-8", lineterminator="\n")
