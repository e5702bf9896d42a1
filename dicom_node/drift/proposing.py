"""Proposes thresholds for equipment by what the ledger has of its answers."""

import json
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.monitoring.alignment import MINIMUM, Proposal, proposed_threshold
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.monitoring.notes import notes
from dicom_node.studies.ledger.monitoring.tables import MonitorNote


def proposals(
    session: Session, equipment: str, reference: str, *, thresholds: dict[str, float]
) -> tuple[Fingerprint, str, list[Proposal]]:
    """Compute a threshold for each finding of new equipment.

    Parameters
    ----------
    equipment : scanner with its software, as ``mammoclip-node drift`` shows it
    reference : the same of the equipment that it is compared with
    thresholds : of the bundle, by finding

    Returns
    -------
    Fingerprint, str, list of Proposal
        The equipment, and the bundle that the answers are by.

    Raises
    ------
    NodeError
        There are too few answers, or by several bundles.
    """
    new, old = _of(session, equipment), _of(session, reference)
    bundle = new[-1].bundle
    new, old = _by(new, bundle), _by(old, bundle)
    found = []
    for name, present in sorted(thresholds.items()):
        values = [_scores(rows, name) for rows in (new, old)]
        if not any(values):
            continue
        try:
            found.append(proposed_threshold(name, values[0], values[1], present))
        except ValueError as error:
            raise NodeError(str(error)) from error
    if not found:
        raise NodeError("none of the bundle's findings was scored by both; nothing to propose")
    last = new[-1]
    known = Fingerprint(last.manufacturer, last.model, last.serial, last.software)
    return known, bundle, found


def _of(session: Session, equipment: str) -> list[MonitorNote]:
    rows = [
        row
        for row in notes(session)
        if Fingerprint(row.manufacturer, row.model, row.serial, row.software).in_words()
        == equipment
    ]
    if not rows:
        known = sorted(
            {
                Fingerprint(*one).in_words()
                for one in session.execute(
                    select(
                        MonitorNote.manufacturer,
                        MonitorNote.model,
                        MonitorNote.serial,
                        MonitorNote.software,
                    ).distinct()
                )
            }
        )
        raise NodeError(f"no answer is of {equipment!r}; there are: {'; '.join(known) or 'none'}")
    return rows


def _by(rows: list[MonitorNote], bundle: str) -> list[MonitorNote]:
    """Return the newest answers that one bundle gave by its own thresholds, as many as serve."""
    return [row for row in rows if row.bundle == bundle][-20 * MINIMUM :]


def _scores(rows: Sequence[MonitorNote], name: str) -> list[float]:
    found = (json.loads(row.scores).get(name) for row in rows)
    return [float(one[0]) for one in found if one is not None]
