"""What people and programs do to studies by console and API, with a line in the log for each."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
from sqlalchemy.orm import Session

from dicom_node.commands.operate.erase import Erasure
from dicom_node.commands.operate.pausing import drained, paused, receiving_again, resumed
from dicom_node.commands.operate.retry import retried
from dicom_node.console.access import Caller
from dicom_node.console.failures import members_of
from dicom_node.console.site import Site
from dicom_node.errors import NodeError
from dicom_node.send.probe import probe
from dicom_node.settings.rules import DEFAULT_BUNDLE
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.operator_actions import cancel_study, settle_now
from dicom_node.studies.prioritising import set_priority
from dicom_node.studies.retrying_many import retry_all
from dicom_node.studies.settling import Decided
from dicom_node.study_routing import LedgerRouter

log = structlog.get_logger("dicom_node.console")


def retry(site: Site, caller: Caller, study: str) -> Sequence[str]:
    """Retry what failed of a study; see ``mammoclip-node retry``."""
    _note(caller, "retry", study)
    return retried(site.settings, site.database, study, every=False, reason="")


def run_again(site: Site, caller: Caller, study: str, bundle: str = "") -> Sequence[str]:
    """Analyse a study again, by a bundle of the settings or by that of [model]."""
    _note(caller, "run_again", study)
    chosen = bundle or DEFAULT_BUNDLE
    return retried(site.settings, site.database, study, every=False, reason="", bundle=chosen)


def cancel(site: Site, caller: Caller, study: str) -> Sequence[str]:
    """Stop the analysis of a study that is waiting or running."""
    _note(caller, "cancel", study)
    with site.database.writing() as session:
        done = cancel_study(session, study, at=database_time(session))
    if not done:
        raise NodeError("nothing to cancel: no analysis of this study is waiting or running")
    return done


def analyse_now(site: Site, caller: Caller, study: str) -> Sequence[str]:
    """Analyse a study with what has come of it, without waiting for more."""
    _note(caller, "analyse_now", study)
    router = LedgerRouter(site.settings, site.spool)
    try:

        def decide(session: Session, study_id: int) -> Decided | None:
            return router.decided(session, study_id, at=database_time(session))

        return settle_now(site.database, decide, study, by=caller.name)
    finally:
        router.close()


def prioritise(site: Site, caller: Caller, study: str, level: str) -> Sequence[str]:
    """Have a study analysed and delivered before or after others."""
    _note(caller, "priority", study)
    with site.database.writing() as session:
        return [set_priority(session, study, level)]


def erase(site: Site, caller: Caller, study: str) -> Sequence[str]:
    """Erase everything that is kept of a study, for good."""
    _note(caller, "erase", study)
    erasure = Erasure(settings=site.settings, database=site.database)
    erasure.register_what_waits(force=False)
    return list(erasure.erase(erasure.holdings(study, None), force=False))


def retry_cause(site: Site, caller: Caller, key: str) -> Sequence[str]:
    """Retry everything that failed for one cause."""
    _note(caller, "retry_cause")
    with site.reading() as session:
        group = members_of(session, site.settings, key)
    if group.destination and group.is_down:
        return retry_destination(site, caller, group.destination)
    analyses = deliveries = 0
    for reason in group.reasons:
        due = retry_all(site.database, reason)
        analyses, deliveries = analyses + due["analyses"], deliveries + due["deliveries"]
    if not analyses + deliveries:
        raise NodeError("nothing is left of this cause: somebody has retried it meanwhile")
    return [f"due again: {analyses} analyses, {deliveries} deliveries"]


def retry_destination(site: Site, caller: Caller, name: str) -> Sequence[str]:
    """Try a destination now, with all that waits for it and what it refused since it fails."""
    _note(caller, "retry_destination", destination=name)
    return retried(site.settings, site.database, None, every=False, reason="", destination=name)


def echo(site: Site, caller: Caller, name: str) -> Sequence[str]:
    """Ask a destination whether it answers, by C-ECHO or QIDO-RS.

    Raises
    ------
    NodeError
        It is not in the settings, or does not answer.
    """
    _note(caller, "echo", destination=name)
    destination = site.settings.destination(name)
    if destination is None:
        raise NodeError(f"no destination {name!r} in the settings")
    probe(destination, calling_ae_title=site.settings.receive.ae_title, tls=site.settings.tls)
    return [f"{name} answers"]


def pause(site: Site, caller: Caller, what: str, name: str, reason: str) -> Sequence[str]:
    """Let work wait until it is resumed."""
    _note(caller, "pause")
    lines = paused(site.settings, site.database, what, name, reason, by=caller.name)
    return list(lines)[:1]


def resume(site: Site, caller: Caller, what: str, name: str) -> Sequence[str]:
    """End a pause."""
    _note(caller, "resume")
    return [resumed(site.database, what, name)]


def drain(site: Site, caller: Caller, reason: str) -> Sequence[str]:
    """Take nothing new, and finish what is there."""
    _note(caller, "drain")
    return drained(site.settings, reason, by=caller.name)[:1]


def receive_again(site: Site, caller: Caller) -> Sequence[str]:
    """End draining."""
    _note(caller, "receive_again")
    return [receiving_again(site.settings)]


Action = Callable[[Site, Caller, str], Iterable[str]]

OF_A_STUDY: Final[dict[str, Action]] = {
    "retry": retry,
    "run-again": run_again,
    "cancel": cancel,
    "analyse-now": analyse_now,
}
"""What an operator does to one study, by the word in the address."""


def _note(caller: Caller, kind: str, study: str = "", **about: str) -> None:
    del caller  # people are no keys of the log; who did it stands in the ledger
    log.info("asked_for", kind=kind, study=study, **about)
