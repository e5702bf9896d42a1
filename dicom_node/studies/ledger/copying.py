"""Copies the ledger while it is in use, and tells which objects a copy does not know."""

import os
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.spool.files.private_files import create_private_file
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Instance


def copy_ledger(database: Database, file: Path) -> bool:
    """Copy a ledger in SQLite as it is at one moment; False if it is in another database."""
    if database.engine.dialect.name != "sqlite":
        return False
    with create_private_file(file):
        pass
    with (
        closing(database.engine.raw_connection()) as source,
        closing(sqlite3.connect(file)) as target,
    ):
        driver: Any = source.driver_connection
        driver.backup(target)  # in one step: no writer comes between
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    return True


def unknown_receipts(session: Session, receipts: Collection[str]) -> set[str]:
    """Return the receipts of which the ledger has no row."""
    query = select(Instance.receipt).where(Instance.receipt.in_(receipts))
    return set(receipts) - set(session.scalars(query))
