"""Markers by which a folder of the spool is known again: without one, its disk is not there.

A folder whose disk is not mounted looks empty. What the ledger says lies in it would count as lost,
and studies would fail for good.
"""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import create_private_file

MARKER: Final = ".spool-marker"
"""File in a marked folder; it holds what the file of this name in the spool holds."""


def mark(root: Path, names: Iterable[str]) -> None:
    """Mark the folders of a spool at its first start; later ones add nothing that is missing.

    Parameters
    ----------
    names : folders below the root
    """
    if (root / MARKER).exists():
        return
    token = secrets.token_hex(16)
    # The root last: a start that is killed in between begins anew. Each has its content before its
    # name, and its name before the next is made: a power cut that left the root's alone, or without
    # its content, would close the spool for good.
    for folder in (*(root / name for name in names), root):
        unfinished = folder / f"{MARKER}-unfinished"
        unfinished.unlink(missing_ok=True)
        with create_private_file(unfinished) as stream:
            stream.write(token.encode())
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.rename(folder / MARKER)
        flush_folder(folder)


def require_marked(root: Path, name: str) -> None:
    """Make sure that a folder is the one that was marked, where the spool has any marks.

    Raises
    ------
    OutOfResourcesError
        It is empty because its disk is not mounted, or another folder stands in its place.
    """
    try:
        token = (root / MARKER).read_bytes()
    except FileNotFoundError:
        return  # no node of this version has started yet
    try:
        is_marked = (root / name / MARKER).read_bytes() == token
    except FileNotFoundError:
        is_marked = False
    if not is_marked:
        raise OutOfResourcesError(
            f"the folder {root / name} is not the one that the node has filled: it lacks the "
            f"marker of {root / MARKER}. Mount its disk, or restore the folder. If what was in it "
            f"is lost for good: cp -p {root / MARKER} {root / name}"
        )
