"""What is recorded of an attempt to analyse a study that did not finish."""

from contextlib import suppress
from datetime import timedelta
from time import monotonic, sleep
from typing import Final

import structlog

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.database import DATABASE_TROUBLE
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.schema import OtherSchemaError
from worker.runtime import Runtime

log = structlog.get_logger("worker.analyze")

_TOLD_TO_END: Final = "the worker was told to end at once while it was analysing"
_FIRST_WAIT_SECONDS: Final = 5
_WAIT_FOR_THE_LEDGER: Final = 2


def give_back_uncounted(
    node: Runtime, held: Claim, reason: str, *, wait_seconds: float | None = None
) -> None:
    """Postpone the analysis during a fault of the site, without counting the attempt.

    Parameters
    ----------
    wait_seconds : by default until the site is looked at again
    """
    give_up_at = monotonic() + node.settings.work.lease_seconds
    while True:
        try:
            with node.database.writing() as session:
                at = database_time(session)
                due_at = at + timedelta(
                    seconds=node.site.wait_seconds if wait_seconds is None else wait_seconds
                )
                outcomes.give_back_analysis(
                    session, held, reason=reason, due_at=due_at, at=at, counted=False
                )
        except OtherSchemaError:
            return
        # The ledger itself may be the fault. Past the lease whoever finds it lost takes over.
        except DATABASE_TROUBLE:
            if monotonic() > give_up_at:
                return
            sleep(_WAIT_FOR_THE_LEDGER)
        else:
            log.warning("analysis_given_back", reason=reason)
            return


def give_back_at_the_end(node: Runtime) -> None:
    """Have another process analyse what this one has under way: it ends at once.

    Whoever records the end of it at the same moment finds itself overtaken, or was faster.
    """
    held = node.analysing
    if held is None:
        return
    with suppress(OvertakenError), node.database.writing() as session:
        at = database_time(session)
        outcomes.give_back_analysis(
            session, held, reason=_TOLD_TO_END, due_at=at, at=at, counted=False
        )
        log.warning("analysis_given_back", analysis=held.id, reason=_TOLD_TO_END)


def end_in_doubt(node: Runtime, held: Claim, reason: str) -> None:
    """Give the analysis back after what a broken worker may do to every study.

    After its last attempt it fails only if the worker was tested just before; else it is put
    off, and the attempt does not count.
    """
    if held.attempt < node.settings.work.maximum_attempts:
        end_badly(node, held, reason, final=False)
    else:
        give_up_in_doubt(node, held, reason)


def give_up_in_doubt(node: Runtime, held: Claim, reason: str) -> None:
    """Fail the analysis if the worker was tested in this attempt, else put it off."""
    with node.database.writing() as session:
        doubt = outcomes.give_up_analysis(session, held, reason=reason, at=database_time(session))
    if doubt:
        log.error("worker_doubted", reason=doubt)
    else:
        log.error("analysis_failed", reason=reason)


def end_badly(node: Runtime, held: Claim, reason: str, *, final: bool) -> None:
    """Give the analysis back for its next attempt, or record that it failed.

    Parameters
    ----------
    final : whether another attempt would fail as well
    """
    # Attempts are counted at the claim, so this one is included, and those that were killed too.
    give_up = final or held.attempt >= node.settings.work.maximum_attempts
    log.error("analysis_failed" if give_up else "analysis_given_back", reason=reason)
    with node.database.writing() as session:
        at = database_time(session)
        if give_up:
            outcomes.fail_analysis(session, held, reason=reason, at=at)
        else:
            wait = timedelta(seconds=_FIRST_WAIT_SECONDS * 2 ** (held.attempt - 1))
            outcomes.give_back_analysis(session, held, reason=reason, due_at=at + wait, at=at)
