"""What was measured of a scanner's pixels against its reference, for people to look at."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.drift.outlook import MINIMUM, Group
from dicom_node.monitoring.distribution import ks_p_value
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.monitoring.pixel_watch import WORDS
from dicom_node.monitoring.scanner_watch import REFERENCE
from dicom_node.studies.ledger.monitoring.tables import MonitorNote, ReferenceReset


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelShift:
    """One number of some equipment's images, and of the reference of its scanner.

    Attributes
    ----------
    name : as it is noted under
    now : median of the answers that are looked at
    before : median of the reference; None while it is gathered
    chance : p of Kolmogorov and Smirnov; None alike
    """

    name: str
    now: float
    before: float | None
    chance: float | None


def pixel_shifts(session: Session, equipment: Fingerprint, group: Group) -> list[PixelShift]:
    """Compare what was measured of some answers with the reference of their scanner."""
    shown = {name: of for name, of in group.pixels.items() if len(of) >= MINIMUM}
    if not shown:
        return []
    reference = _reference(session, equipment)
    found = []
    for name in WORDS:
        if name not in shown:
            continue
        before = reference.get(name, ())
        is_whole = len(before) >= REFERENCE
        found.append(
            PixelShift(
                name=name,
                now=median(shown[name]),
                before=median(before) if is_whole else None,
                chance=ks_p_value(list(before), shown[name]) if is_whole else None,
            )
        )
    return found


def by_name(pixels: Iterable[str]) -> dict[str, list[float]]:
    """Gather numbers by their names from notes as they stand in the ledger."""
    found: dict[str, list[float]] = defaultdict(list)
    for text in pixels:
        for name, value in json.loads(text or "{}").items():
            if name in WORDS:
                found[name].append(float(value))
    return found


def _reference(session: Session, equipment: Fingerprint) -> Mapping[str, list[float]]:
    """Return the numbers of the first thousand studies since a person last began anew."""
    note = MonitorNote
    query = select(note.pixels).where(
        note.manufacturer == equipment.manufacturer,
        note.model == equipment.model,
        note.serial == equipment.serial,
        note.pixels != "",
    )
    begun = session.scalar(
        select(func.max(ReferenceReset.since)).where(ReferenceReset.scanner == equipment.scanner)
    )
    if begun is not None:
        query = query.where(note.at >= begun)
    return by_name(session.scalars(query.order_by(note.at, note.id).limit(REFERENCE)))
