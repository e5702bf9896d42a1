"""Every migration is taken back and made again with a row in each table that there is."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import documents
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, inspect, text

from dicom_node.studies.ledger.database import Database, _alembic
from dicom_node.studies.ledger.schema import MIGRATIONS, SCHEMA
from dicom_node.studies.ledger.tables import Base

VALUES = {bool: True, datetime: datetime(2026, 3, 4, 9, 30, tzinfo=UTC), float: 0.5, int: 1}

SCHEMAS = [
    one.revision for one in ScriptDirectory(MIGRATIONS).walk_revisions() if one.revision != SCHEMA
]
"""From the last but one to the first."""

STATES = {"studies": "settled", "instances": "registered", "analyses": "done",
          "deliveries": "accepted", "shadow_analyses": "done"}  # fmt: skip
"""Those that every release knows, by this name or another."""

Rows = Mapping[str, list[dict[str, Any]]]


def _value(column: Column[Any]) -> Any:
    """Return a value that differs from every default."""
    if column.primary_key or column.foreign_keys:
        return 1
    if column.name in {"state", "outcome"}:
        return STATES.get(column.table.name, "accepted")
    kind = getattr(column.type, "impl_instance", column.type).python_type
    if issubclass(kind, StrEnum):
        return next(iter(kind)).value
    if issubclass(kind, str):
        return f"{column.name[:8]} kept"[: getattr(column.type, "length", None)]
    return VALUES[kind]


def _fill(connection: Connection) -> None:
    """Enter a row into each table that has none."""
    for table in Base.metadata.sorted_tables:
        if connection.execute(table.select()).first() is None:
            values = {column.name: _value(column) for column in table.columns}
            connection.execute(table.insert().values(values))


def _rows(connection: Connection) -> Rows:
    return {
        table: [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]
        for table in inspect(connection).get_table_names()
        if table != "alembic_version"
    }


def _require_kept(before: Rows, meanwhile: Rows, after: Rows, schema: str) -> None:
    """See that what the earlier release has room for is as it was, and that nothing else came."""
    assert set(after) == set(before)
    for table, rows in before.items():
        if table not in meanwhile:
            assert len(after[table]) <= len(rows), (schema, table)
            continue
        assert len(meanwhile[table]) == len(rows), (schema, table)
        (was,), (is_now,) = rows, after[table]
        kept = set(meanwhile[table][0]) & set(was)
        assert {one: is_now[one] for one in kept} == {one: was[one] for one in kept}, (
            schema,
            table,
        )


@pytest.mark.parametrize(
    "schema", [*(pytest.param(one, marks=pytest.mark.long) for one in SCHEMAS[:-1]), SCHEMAS[-1]]
)
def test_rows_of_every_table_are_there_again_after_a_way_back_and_forth(
    database: Database, schema: str
) -> None:
    with database.engine.begin() as connection:
        _fill(connection)
        before = _rows(connection)
        command.downgrade(_alembic(connection), schema)
        meanwhile = _rows(connection)
        command.upgrade(_alembic(connection), "head")
        after = _rows(connection)

    _require_kept(before, meanwhile, after, schema)


def test_page_on_upgrading_says_what_each_way_back_loses() -> None:
    rows = documents.text_of(documents.ROOT / "docs" / "upgrading.md").splitlines()
    told = set(re.findall(r"\b\d{4}\b", " ".join(row.split("|")[1] for row in rows if "|" in row)))
    scripts = (MIGRATIONS / "versions").glob("[0-9]*_*.py")
    losing = {file.stem[:4] for file in scripts if "create_table" in file.read_text()}

    assert {schema for schema in losing if schema > "0008"} <= told
