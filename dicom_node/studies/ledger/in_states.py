"""Conditions on states that a partial index holds the answer to."""

from sqlalchemy import ColumnElement, literal_column

from dicom_node.studies.ledger.states import State
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, Study


def in_states(
    table: type[Study | Instance | Analysis | Delivery], *states: State
) -> ColumnElement[bool]:
    """Return the condition that a row is in one of some states.

    Parameters
    ----------
    states : in the order in which an index names them
    """
    # Literals and no parameters: only so does a database see that a partial index will do.
    words: list[ColumnElement[State]] = [literal_column(f"'{state.value}'") for state in states]
    return table.state == words[0] if len(words) == 1 else table.state.in_(words)
