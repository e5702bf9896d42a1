"""What people and programs do to studies by console and API, entered in the audit."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sqlalchemy.orm import Session

from dicom_node.audit.acts import Act
from dicom_node.canary.run import run_canary
from dicom_node.commands.model import threshold_commands
from dicom_node.commands.model.outlooks import new_reference
from dicom_node.commands.model.reporting import day_of
from dicom_node.commands.operate.erase import Erasure
from dicom_node.commands.operate.pausing import drained, paused, receiving_again, resumed
from dicom_node.commands.operate.redirecting import dropped, moved
from dicom_node.commands.operate.retry import retried
from dicom_node.commands.prove.receipts import receipt_of
from dicom_node.console.access import Caller
from dicom_node.console.auditing import entered
from dicom_node.console.failures import members_of
from dicom_node.console.site import Site
from dicom_node.drift.replay import replay as replayed
from dicom_node.drift.replay import replayed_in_words
from dicom_node.errors import NodeError
from dicom_node.send.probe import probe
from dicom_node.settings.rules import DEFAULT_BUNDLE
from dicom_node.studies.ledger.canary_runs import CanaryFacts
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.operator_actions import cancel_study, settle_now
from dicom_node.studies.prioritising import set_priority
from dicom_node.studies.retrying_many import retry_all
from dicom_node.studies.settling import Decided
from dicom_node.study_routing import LedgerRouter


def retry(site: Site, caller: Caller, study: str) -> Sequence[str]:
    """Retry what failed of a study; see ``mammoclip-node retry``."""
    with entered(site, caller.name, Act.RETRY, study=study):
        return list(retried(site.settings, site.database, study, every=False, reason=""))


def retry_wanted(  # noqa: PLR0917  the options of the command
    site: Site,
    caller: Caller,
    study: str | None,
    every: bool,
    reason: str,
    destination: str,
    bundle: str,
) -> Sequence[str]:
    """Retry what is named; see ``mammoclip-node retry``."""
    wanted = " ".join(filter(None, ("all" * every, reason, destination, bundle)))
    with entered(site, caller.name, Act.RETRY, study=study or "", detail=wanted) as said:
        done = retried(
            site.settings,
            site.database,
            study,
            every=every,
            reason=reason,
            destination=destination,
            bundle=bundle,
        )
        said.detail = "; ".join(done)
        return done


def run_again(site: Site, caller: Caller, study: str, bundle: str = "") -> Sequence[str]:
    """Analyse a study again, by a bundle of the settings or by that of [model]."""
    chosen = bundle or DEFAULT_BUNDLE
    with entered(site, caller.name, Act.RETRY, study=study, detail=f"again, by bundle {chosen}"):
        return list(
            retried(site.settings, site.database, study, every=False, reason="", bundle=chosen)
        )


def cancel(site: Site, caller: Caller, study: str) -> Sequence[str]:
    """Stop the analysis of a study that is waiting or running."""
    with entered(site, caller.name, Act.CANCEL, study=study):
        with site.database.writing() as session:
            done = cancel_study(session, study, at=database_time(session))
        if not done:
            raise NodeError("nothing to cancel: no analysis of this study is waiting or running")
        return done


def analyse_now(site: Site, caller: Caller, study: str) -> Sequence[str]:
    """Analyse a study with what has come of it, without waiting for more."""
    with entered(site, caller.name, Act.ANALYSE_NOW, study=study):
        router = LedgerRouter(site.settings, site.spool)
        try:

            def decide(session: Session, study_id: int) -> Decided | None:
                return router.decided(session, study_id, at=database_time(session))

            return settle_now(site.database, decide, study, by=caller.name)
        finally:
            router.close()


def prioritise(site: Site, caller: Caller, study: str, level: str) -> Sequence[str]:
    """Have a study analysed and delivered before or after others."""
    with (
        entered(site, caller.name, Act.PRIORITY, study=study, detail=level),
        site.database.writing() as session,
    ):
        return [set_priority(session, study, level)]


def erase(site: Site, caller: Caller, study: str) -> Sequence[str]:
    """Erase everything that is kept of a study, for good."""
    with entered(site, caller.name, Act.ERASE, study=study):
        erasure = Erasure(settings=site.settings, database=site.database)
        erasure.register_what_waits(force=False)
        return list(erasure.erase(erasure.holdings(study, None), force=False))


def retry_cause(site: Site, caller: Caller, key: str) -> Sequence[str]:
    """Retry everything that failed for one cause."""
    with entered(site, caller.name, Act.RETRY, detail=f"failures of cause {key}") as said:
        lines = _retried_cause(site, key)
        said.detail = f"failures of cause {key}: {'; '.join(lines)}"
        return lines


def retry_destination(site: Site, caller: Caller, name: str) -> Sequence[str]:
    """Try a destination now, with all that waits for it and what it refused since it fails."""
    with entered(site, caller.name, Act.RETRY, detail=f"destination {name}"):
        return _retried_destination(site, name)


def move(site: Site, caller: Caller, name: str, to: str, reason: str) -> Sequence[str]:
    """Send what waits for a destination to another one."""
    detail = f"{name} to {to}: {reason}"
    with entered(site, caller.name, Act.MOVE_DELIVERIES, detail=detail):
        return list(moved(site.settings, site.database, name, to, reason))


def drop(site: Site, caller: Caller, name: str, reason: str) -> Sequence[str]:
    """Give up what waits for a destination."""
    with entered(site, caller.name, Act.DROP_DELIVERIES, detail=f"{name}: {reason}"):
        return list(dropped(site.settings, site.database, name, reason))


def echo(site: Site, name: str) -> Sequence[str]:
    """Ask a destination whether it answers, by C-ECHO or QIDO-RS; changes nothing.

    Raises
    ------
    NodeError
        It is not in the settings, or does not answer.
    """
    destination = site.settings.destination(name)
    if destination is None:
        raise NodeError(f"no destination {name!r} in the settings")
    probe(destination, calling_ae_title=site.settings.receive.ae_title, tls=site.settings.tls)
    return [f"{name} answers"]


def pause(site: Site, caller: Caller, what: str, name: str, reason: str) -> Sequence[str]:
    """Let work wait until it is resumed."""
    detail = f"{what} {name} {reason}".strip()
    with entered(site, caller.name, Act.PAUSE, detail=detail):
        lines = paused(site.settings, site.database, what, name, reason, by=caller.name)
        return list(lines)[:1]


def resume(site: Site, caller: Caller, what: str, name: str) -> Sequence[str]:
    """End a pause."""
    with entered(site, caller.name, Act.RESUME, detail=f"{what} {name}".strip()):
        return [resumed(site.database, what, name)]


def drain(site: Site, caller: Caller, reason: str) -> Sequence[str]:
    """Take nothing new, and finish what is there."""
    with entered(site, caller.name, Act.DRAIN, detail=reason):
        return drained(site.settings, reason, by=caller.name)[:1]


def receive_again(site: Site, caller: Caller) -> Sequence[str]:
    """End draining."""
    with entered(site, caller.name, Act.DRAIN, detail="end"):
        return [receiving_again(site.settings)]


def canary(site: Site, caller: Caller) -> CanaryFacts:
    """Send a phantom study the whole way."""
    with entered(site, caller.name, Act.CANARY):
        return run_canary(site.settings, site.database)


def begin_reference(site: Site, caller: Caller, scanner: str, reason: str) -> Sequence[str]:
    """Take a scanner's answers from now on for its reference."""
    with entered(site, caller.name, Act.REFERENCE, detail=f"{scanner}: {reason}"):
        return [new_reference(site.database, scanner, reason, by=caller.name)]


def replay(site: Site, caller: Caller, bundle: str, since: str) -> Sequence[str]:
    """Have past studies answered by another bundle in shadow."""
    with entered(site, caller.name, Act.REPLAY, detail=f"{bundle} since {since}") as said:
        begin = day_of(since, site.settings)
        count = replayed(site.settings, site.database, bundle, since=begin)
        said.detail = f"{bundle} since {since}: {count} studies"
        return [replayed_in_words(count, bundle)]


def propose_thresholds(site: Site, caller: Caller, equipment: str, reference: str) -> Sequence[str]:
    """Compute thresholds for some equipment; nothing changes until they are accepted."""
    with entered(site, caller.name, Act.THRESHOLDS, detail=f"propose for {equipment}") as said:
        lines = threshold_commands.proposed(
            site.settings, site.database, equipment, reference, by=caller.name
        )
        said.detail = "; ".join(lines)
        return lines


def accept_thresholds(site: Site, caller: Caller, number: int) -> Sequence[str]:
    """Judge answers to some equipment's images by a threshold set from now on."""
    return _changed_thresholds(site, caller, accept=number)


def withdraw_thresholds(site: Site, caller: Caller, number: int) -> Sequence[str]:
    """Judge by the bundle's own thresholds again."""
    return _changed_thresholds(site, caller, withdraw=number)


def receipt(site: Site, caller: Caller, study: str) -> bytes:
    """Return the signed receipt of a study.

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    SignatureError
        Nothing can be signed: the library or the key is missing.
    """
    with entered(site, caller.name, Act.RECEIPT, study=study):
        return receipt_of(site.settings, site.database, study)


Action = Callable[[Site, Caller, str], Iterable[str]]

OF_A_STUDY: Final[dict[str, Action]] = {
    "retry": retry,
    "run-again": run_again,
    "cancel": cancel,
    "analyse-now": analyse_now,
}
"""What an operator does to one study, by the word in the address."""


def _changed_thresholds(
    site: Site, caller: Caller, *, accept: int = 0, withdraw: int = 0
) -> Sequence[str]:
    wanted = f"accept {accept}" if accept else f"withdraw {withdraw}"
    with entered(site, caller.name, Act.THRESHOLDS, detail=wanted) as said:
        lines = threshold_commands.changed(
            site.database, accept=accept, withdraw=withdraw, by=caller.name
        )
        said.detail = "; ".join(lines)
        return lines


def _retried_destination(site: Site, name: str) -> Sequence[str]:
    return list(
        retried(site.settings, site.database, None, every=False, reason="", destination=name)
    )


def _retried_cause(site: Site, key: str) -> Sequence[str]:
    with site.reading() as session:
        group = members_of(session, site.settings, key)
    if group.destination and group.is_down:
        return _retried_destination(site, group.destination)
    analyses = deliveries = 0
    for reason in group.reasons:
        due = retry_all(site.database, reason)
        analyses, deliveries = analyses + due["analyses"], deliveries + due["deliveries"]
    if not analyses + deliveries:
        raise NodeError("nothing is left of this cause: somebody has retried it meanwhile")
    return [f"due again: {analyses} analyses, {deliveries} deliveries"]
