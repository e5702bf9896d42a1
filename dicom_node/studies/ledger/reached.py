"""Which work needs files that a worker does not reach, in spools or in the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, false, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.storing import IN_STORE
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, ResultObject, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """What a worker does not reach.

    Attributes
    ----------
    spools : numbers of spools of which nothing is reached
    by_store : numbers of spools of which only that is reached which is in the store
    """

    spools: frozenset[int] = frozenset()
    by_store: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.spools or self.by_store)

    def each(self) -> "Iterator[tuple[int, Unreached]]":
        """Yield the number of each spool, and what is not reached of it alone."""
        for one in sorted(self.spools):
            yield one, Unreached(spools=frozenset({one}))
        for one in sorted(self.by_store):
            yield one, Unreached(by_store=frozenset({one}))

    def holds_up(self, table: type[Analysis | Delivery]) -> ColumnElement[bool]:
        """Return the condition of work that reads or writes something of it."""
        return self._deliveries() if table is Delivery else self._analyses()

    def is_needed(self, session: Session, row: Analysis | Delivery) -> bool:
        """Return whether a piece of work needs something of it."""
        if not self:
            return False
        table: Any = type(row)
        query = select(table.id).where(table.id == row.id, self.holds_up(table))
        return session.scalar(query) is not None

    def _deliveries(self) -> ColumnElement[bool]:
        # Results lie in the spool that got the study's first object.
        of_it = (Analysis.id == Delivery.analysis_id, Study.id == Analysis.study_id)
        found: ColumnElement[bool] = false()
        if self.spools:
            found |= exists().where(*of_it, Study.spool_id.in_(self.spools))
        if self.by_store:
            found |= exists().where(
                *of_it,
                Study.spool_id.in_(self.by_store),
                ResultObject.analysis_id == Delivery.analysis_id,
                ResultObject.place != "",
                ResultObject.stored.not_in(IN_STORE),
            )
        return found

    def _analyses(self) -> ColumnElement[bool]:
        images = (Instance.study_id == Analysis.study_id, Instance.place != "")
        found: ColumnElement[bool] = false()
        if self.spools:
            found |= exists().where(
                Study.id == Analysis.study_id, Study.spool_id.in_(self.spools)
            ) | exists().where(*images, Instance.spool_id.in_(self.spools))
        if self.by_store:
            found |= exists().where(
                *images, Instance.spool_id.in_(self.by_store), Instance.stored.not_in(IN_STORE)
            )
        return found
