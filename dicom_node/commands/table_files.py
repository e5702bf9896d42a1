"""Tables that commands write: whole or not at all, with the number of their rows."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dicom_node.errors import NodeError


def require_table(out: Path) -> None:
    """Tell before any work whether a table of this name can be written.

    Raises
    ------
    NodeError
        The suffix is none of those known, the folder is not there, or a library is missing.
    """
    from mammoclip_core.errors import CoreError
    from mammoclip_core.many_studies.tables import check_table

    try:
        check_table(out)
    except CoreError as error:
        raise NodeError(str(error)) from error


def table_written(rows: Iterable[dict[str, Any]], out: Path, columns: Mapping[str, type]) -> int:
    """Write rows as they come; return how many there were."""
    from mammoclip_core.many_studies.tables import write_table

    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    write_table(counted(), out, out.with_name(f".{out.name}.part"), columns)
    return count
