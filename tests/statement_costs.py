"""How much of its tables a database reads for some statements, whatever the machine's load."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from dicom_node.studies.ledger.database import Database

_STEPS = 50
"""Steps of SQLite's machine between two counts; reading a row takes about five."""


@dataclass
class Cost:
    """What statements have cost.

    Attributes
    ----------
    rows : read from tables and indexes, roughly
    statements : those of PostgreSQL that read, each with its rows
    """

    rows: int = 0
    statements: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        by_rows = sorted(self.statements.items(), key=lambda one: -one[1])
        return "\n".join(f"{rows}: {statement}" for statement, rows in by_rows[:5] if rows)


@contextmanager
def counted(database: Database) -> Iterator[Cost]:
    """Count what the statements of a block read; known at its end."""
    cost = Cost()
    if database.engine.dialect.name == "sqlite":
        with _counted_steps(database, cost):
            yield cost
    else:
        with _explained(database, cost):
            yield cost


@contextmanager
def _counted_steps(database: Database, cost: Cost) -> Iterator[None]:
    def step() -> None:
        cost.rows += _STEPS // 5

    def begin(connection: Any, *_: object) -> None:
        connection.set_progress_handler(step, _STEPS)

    def end(connection: Any, *_: object) -> None:
        if connection is not None:
            connection.set_progress_handler(None, 0)

    event.listen(database.engine, "checkout", begin)
    event.listen(database.engine, "checkin", end)
    try:
        yield
    finally:
        event.remove(database.engine, "checkout", begin)
        event.remove(database.engine, "checkin", end)


@contextmanager
def _explained(database: Database, cost: Cost) -> Iterator[None]:
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    with database.engine.connect() as connection:
        for statement, parameters in asked:
            explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            found = connection.exec_driver_sql(explain, parameters).scalar()
            (plan,) = json.loads(found) if isinstance(found, str) else found  # type: ignore[misc]
            rows = _rows_of(plan["Plan"])
            cost.statements[statement] = cost.statements.get(statement, 0) + rows
            cost.rows += rows
        connection.rollback()


def _rows_of(plan: dict[str, Any]) -> int:
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    inner = sum(_rows_of(one) for one in plan.get("Plans", ()))
    return int(own * plan["Actual Loops"]) + inner
