"""How the node does, and what an operator does to it, by the REST API."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request
from pydantic import BaseModel, Field

from dicom_node.commands.checks.checking_all import check_document
from dicom_node.commands.rule_trial import arrival_of
from dicom_node.console import actions
from dicom_node.console.access import caller_of
from dicom_node.console.failures import causes
from dicom_node.console.queries import running_analyses
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.console.views.now import facts_now, summaries_of
from dicom_node.console.views.rules import Files, journey_of, trials_of
from dicom_node.console.views.settings import sections_of
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.due.pauses import pauses as all_pauses
from dicom_node.studies.ledger.due.workers import workers as all_workers
from dicom_node.studies.shadow_comparison import comparisons

routes = Routes("API: operations")

Name = Annotated[str, Path(max_length=64)]
Kind = Literal["node", "worker", "results", "sender", "destination"]


class Checking(BaseModel):
    """What is to be looked at."""

    before_start: bool = False
    oldest_minutes: Annotated[float, Field(ge=0, le=1e6)] = 30


class Pause(BaseModel):
    """What is to wait, and why."""

    what: Kind
    name: Annotated[str, Field(max_length=64)] = ""
    reason: Annotated[str, Field(max_length=500)] = ""


class Ending(BaseModel):
    """Which pause ends."""

    what: Kind
    name: Annotated[str, Field(max_length=64)] = ""


class Retry(BaseModel):
    """What is retried: one study, one destination, or everything whose reason has some words."""

    study: Annotated[str | None, Field(max_length=64)] = None
    every: bool = False
    reason: Annotated[str, Field(max_length=500)] = ""
    destination: Annotated[str, Field(max_length=64)] = ""
    bundle: Annotated[str, Field(max_length=64)] = ""


class Why(BaseModel):
    """Why something is done, for the history."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Moving(Why):
    """Where deliveries go instead."""

    to: Annotated[str, Field(max_length=64)]


@routes.get("/api/now", Role.VIEWER)
def now(request: Request) -> Any:
    """Return how the node does just now."""
    facts = asdict(facts_now(site_of(request)))
    return {**facts, "troubles": [words for words, _ in facts["troubles"]]}


@routes.post("/api/check", Role.OPERATOR)
def check(request: Request, wanted: Checking) -> Any:
    """Check settings, bundle, spool, ledger, broker, destinations, node and workers."""
    old_after = None if wanted.before_start else timedelta(minutes=wanted.oldest_minutes)
    return check_document(site_of(request).settings, old_after=old_after)


@routes.get("/api/destinations", Role.VIEWER)
def destinations(request: Request) -> Any:
    """List the destinations, and how each is."""
    site = site_of(request)
    with site.reading() as session:
        return {"destinations": [asdict(one) for one in summaries_of(session, site.settings)]}


@routes.post("/api/destinations/{name}/retry", Role.OPERATOR)
def retry_destination(request: Request, name: Name) -> Any:
    """Try a destination now."""
    done = actions.retry_destination(site_of(request), caller_of(request), name)
    return {"done": list(done)}


@routes.post("/api/destinations/{name}/echo", Role.OPERATOR)
def echo(request: Request, name: Name) -> Any:
    """Ask a destination whether it answers."""
    return {"done": list(actions.echo(site_of(request), name))}


@routes.post("/api/destinations/{name}/move", Role.OPERATOR)
def move(request: Request, name: Name, moving: Moving) -> Any:
    """Send what waits for a destination to another one."""
    done = actions.move(site_of(request), caller_of(request), name, moving.to, moving.reason)
    return {"done": list(done)}


@routes.post("/api/destinations/{name}/drop", Role.OPERATOR)
def drop(request: Request, name: Name, why: Why) -> Any:
    """Give up what waits for a destination."""
    done = actions.drop(site_of(request), caller_of(request), name, why.reason)
    return {"done": list(done)}


@routes.get("/api/failures", Role.VIEWER)
def failures(request: Request) -> Any:
    """List what failed, by cause."""
    site = site_of(request)
    with site.reading() as session:
        return {"causes": [asdict(one) for one in causes(session, site.settings)]}


@routes.post("/api/failures/{cause}/retry", Role.OPERATOR)
def retry_cause(request: Request, cause: Name) -> Any:
    """Retry everything that failed for one cause."""
    return {"done": list(actions.retry_cause(site_of(request), caller_of(request), cause))}


@routes.post("/api/retry", Role.OPERATOR)
def retry(request: Request, wanted: Retry) -> Any:
    """Retry a study, a destination, or everything for a reason, as the command ``retry`` does."""
    done = actions.retry_wanted(site_of(request), caller_of(request), **wanted.model_dump())
    return {"done": list(done)}


@routes.get("/api/pauses", Role.VIEWER)
def pauses(request: Request) -> Any:
    """List what is paused."""
    with site_of(request).reading() as session:
        return {"pauses": [asdict(one) for one in all_pauses(session)]}


@routes.post("/api/pauses", Role.OPERATOR)
def pause(request: Request, wanted: Pause) -> Any:
    """Let work wait until it is resumed."""
    done = actions.pause(
        site_of(request), caller_of(request), wanted.what, wanted.name, wanted.reason
    )
    return {"done": list(done)}


@routes.post("/api/pauses/end", Role.OPERATOR)
def resume(request: Request, ending: Ending) -> Any:
    """End a pause."""
    done = actions.resume(site_of(request), caller_of(request), ending.what, ending.name)
    return {"done": list(done)}


@routes.post("/api/drain", Role.OPERATOR)
def drain(request: Request, why: Why) -> Any:
    """Take nothing new, and finish what is there."""
    return {"done": list(actions.drain(site_of(request), caller_of(request), why.reason))}


@routes.post("/api/drain/end", Role.OPERATOR)
def receive_again(request: Request) -> Any:
    """Receive again."""
    return {"done": list(actions.receive_again(site_of(request), caller_of(request)))}


@routes.get("/api/workers", Role.VIEWER)
def workers(request: Request) -> Any:
    """List the workers of the last week, and what they analyse."""
    with site_of(request).reading() as session:
        return {
            "workers": [asdict(one) for one in all_workers(session)],
            "running": [asdict(one) for one in running_analyses(session)],
        }


@routes.post("/api/canary", Role.OPERATOR)
def canary(request: Request) -> Any:
    """Send a phantom study the whole way, and say how each phase ended."""
    return asdict(actions.canary(site_of(request), caller_of(request)))


@routes.get("/api/shadows", Role.VIEWER)
def shadows(request: Request, limit: int = 200, bundle: str = "") -> Any:
    """Compare the answers of bundles in shadow with those that were sent."""
    with site_of(request).reading() as session:
        found = comparisons(session, limit=max(1, min(limit, 1000)), bundle=bundle)
    return {"comparisons": [asdict(one) for one in found]}


@routes.post("/api/rules/test", Role.VIEWER)
def test_rules(  # noqa: PLR0917  the options of the command
    request: Request,
    files: Files,
    sender: str = "",
    called: str = "",
    address: str = "",
    at: Annotated[str, Query(max_length=64)] = "",
) -> Any:
    """Say which rule takes the study in some files, and why."""
    site = site_of(request)
    moment = arrival_of(at or None, site.settings.results.time_zone)
    trials = trials_of(site, files, journey_of(sender, called, address), at=moment)
    return {
        "studies": [one.as_document() for one in trials],
        "lines": [line for one in trials for line in one.in_words()],
        "held": any(one.route is not None and one.route.held for one in trials),
    }


@routes.get("/api/settings", Role.ADMIN)
def settings(request: Request) -> Any:
    """Return the settings in words, secrets hidden."""
    return {name: dict(lines) for name, lines in sections_of(site_of(request).settings)}
