"""Scrapes a node's metrics through a night, and adds them up each time."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from night_sender import Sent
from prometheus_client.parser import text_string_to_metric_families

from dicom_node.commands.observe.metrics import metrics_text
from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database

DELIVERED = frozenset({"delivered", "done"})
IN_FLIGHT = frozenset({"receiving", "waiting", "analysing", "delivering", "held"})
ENDED = frozenset(
    {"failed", "cancelled", "refused", "expired", "nothing-to-analyse", "superseded", "erased"}
)
"""What ends without a result: each with its reason, for somebody to look at."""

_PAUSE_SECONDS = 0.5

Figures = Mapping[tuple[str, str], float]
"""Values by metric and its one label, which is empty where it has none or several."""


class MetricsWatch(threading.Thread):
    """Scrapes until it is told to stop.

    Attributes
    ----------
    wrong : what did not add up
    scrapes : that were answered
    in_flight : the most studies that were under way at once
    """

    def __init__(self, config: Path, sent: Mapping[str, Sent], most: int) -> None:
        super().__init__(name="metrics", daemon=True)
        self._settings, self._sent, self._most = load_settings(config), sent, most
        self._former: Figures = {}
        self.wrong: list[str] = []
        self.scrapes = 0
        self.in_flight = 0.0
        self.last: Figures = {}
        self.is_over = threading.Event()

    def run(self) -> None:
        database = Database(self._settings.ledger_url)
        try:
            while not self.is_over.wait(_PAUSE_SECONDS):
                self._scrape(database)
        finally:
            database.close()

    def stop(self) -> None:
        """Stop, with one last scrape."""
        self.is_over.set()
        self.join()
        database = Database(self._settings.ledger_url)
        try:
            self._scrape(database)
        finally:
            database.close()

    def _scrape(self, database: Database) -> None:
        taken = len(self._sent)
        try:
            text = metrics_text(self._settings, database)
        except (*DATABASE_TROUBLE, OSError):
            return  # what befalls the site befalls whoever scrapes too
        self.scrapes += 1
        self.last = _figures_of(text)
        self.in_flight = max(self.in_flight, _sum_of(self.last, "mammoclip_studies", IN_FLIGHT))
        self.wrong += _complaints(self.last, self._former, taken, self._most)
        self._former = self.last


def _complaints(now: Figures, before: Figures, taken: int, most: int) -> Iterator[str]:
    """Yield what does not add up in one scrape.

    Parameters
    ----------
    taken : studies of one image each that were answered success to before it
    most : that there are
    """
    received = now["mammoclip_studies_received_total", ""]
    parts = {
        name: _sum_of(now, "mammoclip_studies", conditions)
        for name, conditions in (
            ("delivered", DELIVERED), ("ended without a result", ENDED), ("in flight", IN_FLIGHT)
        )
    }  # fmt: skip
    if received != sum(parts.values()):
        yield f"{received} studies received, and {parts}"
    waiting = now["mammoclip_instances_waiting", ""]
    if not taken <= received + waiting:
        yield f"{taken} studies taken, {received} received and {waiting} objects waiting"
    if received > most:
        yield f"{received} studies received of {most}"
    objects = now["mammoclip_instances_received_total", ""]
    if objects != _sum_of(now, "mammoclip_instances"):
        yield f"{objects} objects received, and others by state"
    aside = now["mammoclip_instances", "set_aside"]
    if aside != _sum_of(now, "mammoclip_instances_set_aside"):
        yield f"{aside} objects set aside, and others by reason"
    for name in ("mammoclip_studies_received_total", "mammoclip_instances_received_total"):
        if now[name, ""] < before.get((name, ""), 0):
            yield f"{name} fell from {before[name, '']} to {now[name, '']}"


def _sum_of(figures: Figures, name: str, labels: frozenset[str] | None = None) -> float:
    return sum(
        value
        for (metric, label), value in figures.items()
        if metric == name and (labels is None or label in labels)
    )


def _figures_of(text: str) -> Figures:
    return {
        (sample.name, next(iter(sample.labels.values())) if len(sample.labels) == 1 else ""):
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }  # fmt: skip
