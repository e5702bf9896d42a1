"""Where the time of a study went, from the ledger's own times and the log of its worker."""

import json
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from dicom_node.studies.ledger.database import Database

_ENGINE = ("decoding", "inference", "interpretation")

_QUERY = text(
    "SELECT s.study_instance_uid AS uid, "
    "max(julianday(i.received_at)) * 86400 AS received, "
    "julianday(a.created_at) * 86400 AS settled, "
    "julianday(c.at) * 86400 AS claimed, julianday(a.finished_at) * 86400 AS analysed, "
    "julianday(t.at) * 86400 AS taken, julianday(d.finished_at) * 86400 AS delivered "
    "FROM studies s JOIN instances i ON i.study_id = s.id JOIN analyses a ON a.study_id = s.id "
    "JOIN transitions c ON c.subject = 'analysis' AND c.subject_id = a.id AND c.event = 'claim' "
    "JOIN deliveries d ON d.analysis_id = a.id "
    "JOIN transitions t ON t.subject = 'delivery' AND t.subject_id = d.id AND t.event = 'claim' "
    "WHERE d.state IN ('accepted', 'confirmed', 'committed') GROUP BY s.id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The instants of one study in seconds, and how long the stages of its analysis took."""

    received: float
    settled: float
    claimed: float
    analysed: float
    taken: float
    delivered: float
    stages: dict[str, float]

    @property
    def engine(self) -> float:
        """Return the time that one call of the engine took."""
        return sum(self.stages[stage] for stage in _ENGINE)

    def added(self, grace: float) -> float:
        """Return the time that is no model, decoding, drawing or grace."""
        return self.delivered - self.received - grace - self.engine - self.stages["drawing"]

    def rows(self, grace: float) -> dict[str, float]:
        """Return the length of each phase, in their order."""
        return {
            "settled, after the grace": self.settled - self.received - grace,
            "claimed": self.claimed - self.settled,
            "analysed": self.analysed - self.claimed,
            "- reading": self.stages["reading"],
            "- engine: decoding": self.stages["decoding"],
            "- engine: model": self.engine - self.stages["decoding"],
            "- result objects": self.stages["drawing"],
            "- recording": self.stages["recording"],
            "taken to be sent": self.taken - self.analysed,
            "sent": self.delivered - self.taken,
        }


def delivered(database: Database, log: Path) -> dict[str, Phases]:
    """Return the phases of all studies that are in the archive, by Study Instance UID."""
    stages = _stages_in(log)
    with database.reading() as session:
        rows = [row._asdict() for row in session.execute(_QUERY)]
    return {
        uid: Phases(**row, stages=stages[uid]) for row in rows if (uid := row.pop("uid")) in stages
    }


def count_delivered(database: Database) -> int:
    """Count the deliveries that have ended well."""
    with database.reading() as session:
        query = text(
            "SELECT count(*) FROM deliveries WHERE state IN ('accepted', 'confirmed', 'committed')"
        )
        return session.execute(query).scalar_one()


def medians(phases: Iterable[Phases], grace: float) -> dict[str, float]:
    """Return the median length of each phase."""
    rows = [one.rows(grace) for one in phases]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def engine_share(phases: Sequence[Phases]) -> float:
    """Return what part of the time of all tasks was the engine's."""
    whole = sum(one.analysed - one.claimed for one in phases)
    return sum(one.engine for one in phases) / whole


def _stages_in(log: Path) -> dict[str, dict[str, float]]:
    found = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        if event["event"] == "analysis_done":
            found[event["study"]] = {
                stage: float(seconds)
                for stage, seconds in re.findall(r"([a-z ]+?) ([0-9.]+) s(?:, |$)", event["detail"])
            }
    return found
