"""Scenes for the tests of interleavings: writers of the ledger that act at once."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from interleaving import Stage, Turn, every_order
from node_factory import Reception
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Base, LedgerIdentity
from dicom_node.studies.own_spool import own_spool

MOSTLY_IN_POSTGRESQL = pytest.mark.parametrize(
    "database",
    ["postgresql", pytest.param("sqlite", marks=pytest.mark.long)],
    indirect=True,
)
"""For scenes of many statements, which SQLite's one write lock leaves few orders."""

Action = Callable[[], Any]
Scene = tuple[Sequence[Action], Callable[..., None]]

SWITCHES = pytest.mark.parametrize("switches", [1, pytest.param(2, marks=pytest.mark.long)])
"""Switches between actions that could have gone on; one finds what is read and then overwritten.

With two nearly every race is found that there is (Musuvathi and Qadeer, PLDI 2007); with three a
scene takes half an hour in PostgreSQL.
"""


class Scenes:
    """Plays a scene in every order, each time on an empty ledger and an empty spool."""

    def __init__(self, database: Database, stage: Stage, folder: Path) -> None:
        self.database = database
        self.stage = stage
        self._folder = folder
        self._numbers = itertools.count(1)

    def play(self, scene: Callable[["Scenes"], Scene], *, switches: int) -> int:
        """Return the number of orders; whatever is raised names the order that it came in."""

        def attempt(order: Sequence[int]) -> list[Turn]:
            with self.database.writing() as session:
                for table in reversed(Base.metadata.sorted_tables):
                    if table.name != LedgerIdentity.__tablename__:
                        session.execute(delete(table))
                session.execute(update(LedgerIdentity).values(key_digest="", serial_number=""))
            actions, check = scene(self)
            actors, turns = self.stage.run(actions, order)
            try:
                for actor in actors:
                    if actor.error is not None:
                        raise actor.error
                check(*(actor.result for actor in actors))
            except BaseException as error:
                error.add_note(f"in the order {[turn.chosen for turn in turns]}")
                raise
            return turns

        return len(list(every_order(attempt, switches=switches)))

    def reception(self) -> Reception:
        """Return a reception whose every move of a file is a stop too."""
        stage = self.stage

        class SteppingSpool(Spool):
            def file_away(self, receipt: Receipt, place: str) -> None:
                stage.step()
                super().file_away(receipt, place)

            def take_back(self, place: str) -> Receipt | None:
                stage.step()
                return super().take_back(place)

            def drop(self, receipt: Receipt) -> None:
                stage.step()
                super().drop(receipt)

        spool = SteppingSpool(self._folder / str(next(self._numbers)))
        (spool.root / "identity.key").write_bytes(bytes(32))  # one for all nodes of a scene
        # Known before the scene begins, as that of any node that has registered something.
        own_spool(spool, self.database)
        installation_key(spool, self.database)
        return Reception(spool, self.database)

    def writing(self, step: Callable[[Session], Any]) -> Action:
        """Return a transaction of its own that does this."""

        def act() -> Any:
            with self.database.writing() as session:
                return step(session)

        return act

    def one(self, table: type[Any]) -> Any:
        with self.database.reading() as session:
            return session.scalars(select(table)).one()

    def all(self, table: type[Any]) -> list[Any]:
        with self.database.reading() as session:
            return list(session.scalars(select(table).order_by(table.id)))
