"""Tables as CSV files, whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write_table(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table; it has its name only once it is whole."""
    making = path.with_name(path.name + ".part")
    frame.to_csv(making, index=False, encoding="utf-8", lineterminator="\n")
    making.replace(path)
