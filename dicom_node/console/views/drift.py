"""The view *Drift*: each scanner against its own past, threshold sets, and the stop rules."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Form, Query, Request

from dicom_node.commands.model.outlooks import outlook_document
from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.drift_charts import HEIGHT, WIDTH, Chart, drift_charts
from dicom_node.console.pages import Entry, done, page
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.console.words import zone_of
from dicom_node.monitoring.pixel_watch import WORDS
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.due.pauses import Paused, pauses
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.monitoring.alarm_book import alarms, last_stop
from dicom_node.studies.ledger.monitoring.notes import notes
from dicom_node.studies.ledger.monitoring.threshold_sets import ThresholdsFacts, threshold_sets

routes = Routes("drift", pages=True)
ENTRY = Entry("Drift", "/drift")

Days = Annotated[int, Query(ge=1, le=366)]
Equipment = Annotated[str, Form(min_length=1, max_length=400)]
Number = Annotated[int, Form(ge=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How the answers of some days look.

    Attributes
    ----------
    document : equipment and alarms, as ``mammoclip-node drift --json`` has them
    stop_rules : sentences of the settings
    held : why results are held; empty if they are not
    last_stop : when a stop rule was last met, and which; empty if none was
    """

    document: dict[str, Any]
    charts: Sequence[Chart]
    sets: Sequence[ThresholdsFacts]
    stop_rules: Sequence[str]
    held: str
    last_stop: str


@routes.get("/drift", Role.VIEWER)
def drift(request: Request, days: Days = 30) -> Any:
    """Show the scanners, their alarms, the threshold sets and the stop rules."""
    return page(
        request,
        "drift.html",
        title="Drift",
        found=drift_of(site_of(request), days),
        days=days,
        width=WIDTH,
        height=HEIGHT,
        pixel_words=WORDS,
    )


@routes.post("/drift/thresholds", Role.OPERATOR)
def propose(request: Request, equipment: Equipment, reference: Equipment) -> Any:
    """Compute thresholds for some equipment; nothing changes until they are accepted."""
    lines = actions.propose_thresholds(
        site_of(request), caller_of(request), equipment.strip(), reference.strip()
    )
    return done("/drift", lines)


@routes.post("/drift/thresholds/accept", Role.OPERATOR)
def accept(request: Request, number: Number) -> Any:
    """Judge answers by a threshold set from now on."""
    return done("/drift", actions.accept_thresholds(site_of(request), caller_of(request), number))


@routes.post("/drift/thresholds/withdraw", Role.OPERATOR)
def withdraw(request: Request, number: Number) -> Any:
    """Judge by the bundle's own thresholds again."""
    return done("/drift", actions.withdraw_thresholds(site_of(request), caller_of(request), number))


def drift_of(site: Site, days: int) -> Drift:
    """Return how the answers of the last days look."""
    zone = zone_of(site.settings)
    with site.reading() as session:
        now = database_time(session)
        since = now - timedelta(days=days)
        stop = last_stop(session)
        held = [one for one in pauses(session) if one.kind is Paused.RESULTS]
        return Drift(
            document=outlook_document(session, site.settings, since=since),
            charts=drift_charts(
                notes(session, since=since),
                alarms(session, since=since),
                since=since,
                until=now,
                zone=zone,
            ),
            sets=threshold_sets(session)[::-1],
            stop_rules=site.settings.monitoring.stop_when,
            held=held[0].in_words() if held else "",
            last_stop="" if stop is None else stop.detail,
        )


def drift_document(found: Drift) -> dict[str, Any]:
    """Return it as the API has it."""
    return {
        **found.document,
        "threshold_sets": [asdict(one) for one in found.sets],
        "stop_rules": list(found.stop_rules),
        "results_held": found.held,
        "last_stop": found.last_stop,
    }
