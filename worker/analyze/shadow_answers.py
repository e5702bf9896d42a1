"""Answers of further bundles on studies that have theirs: kept, and nothing is made of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog

from dicom_node.errors import NodeError
from dicom_node.studies.ledger import shadows
from dicom_node.studies.ledger.database import DATABASE_TROUBLE
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.shadows import ShadowClaim
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis
from mammoclip_core.errors import CoreError
from mammoclip_core.findings_document import to_json
from worker.analyze.models import LOOKED_AT_AGAIN_SECONDS, RouteFaultError
from worker.analyze.study_files import StudyFiles
from worker.analyze.study_order import as_received, enter, read_order, request_of
from worker.runtime import Runtime
from worker.stages import Stage

log = structlog.get_logger("worker.shadow")

_FIRST_WAIT_SECONDS: Final = 30


def answer_in_shadow(node: Runtime, analysis_id: int) -> bool:
    """Make one answer of a further bundle that is due beside an analysis; False if none is."""
    lease = timedelta(seconds=node.settings.work.lease_seconds)
    with node.database.writing() as session:
        if node.holds(session).stop(Analysis):
            return False
        at = database_time(session)
        held = shadows.claim_shadow(
            session,
            analysis_id,
            holder=node.holder,
            lease=lease,
            maximum_attempts=node.settings.work.maximum_attempts,
            at=at,
        )
    if held is None:
        return False

    def give_up(reason: str) -> None:
        _end_badly(node, held, reason)

    try:
        with node.stages.held(give_up), _kept_alive(node, held):
            _answer(node, held)
    except RuntimeError as error:  # no thread that watches or renews: nothing was begun
        _judge(node, held, error)
    return True


def _answer(node: Runtime, held: ShadowClaim) -> None:
    try:
        _attempt(node, held)
    except RouteFaultError as error:
        _give_back(node, held, str(error), seconds=LOOKED_AT_AGAIN_SECONDS, counted=False)
    except Exception as error:  # noqa: BLE001  told by _judge
        _judge(node, held, error)


def _judge(node: Runtime, held: ShadowClaim, error: Exception) -> None:
    enter(node, Stage.RECORDING, 0)
    # Under a number of its own, beside those of analyses.
    fault = node.site.behind(error, -held.id)
    if fault:
        node.site.note(fault)
        _give_back(node, held, fault, seconds=node.site.wait_seconds, counted=False)
    elif isinstance(error, (CoreError, NodeError)):
        _end_badly(node, held, str(error))
    else:
        log.exception("shadow_broke", reason=type(error).__name__)
        _end_badly(node, held, f"unexpected error: {type(error).__name__}")


def _attempt(node: Runtime, held: ShadowClaim) -> None:
    enter(node, Stage.READING, 0)
    with node.database.reading() as session:
        analysis = session.get_one(Analysis, held.analysis_id)
    if analysis.state is not AnalysisState.DONE:
        _fail(node, held, f"the analysis beside it is {analysis.state.value}")
        return
    order = read_order(node, analysis)
    if order.study.revision != analysis.revision:
        _fail(node, held, "a later revision has taken the place of the analysis beside it")
        return
    model = node.model(held.bundle)
    enter(node, Stage.READING, len(order.instances))
    order = as_received(node, order)
    files = StudyFiles(
        node.decoding.read_image, node.settings.results.longest_side_pixels, kept_bytes=0
    )
    answer = model.engine.analyze(request_of(node, order, files))
    if not answer.findings.analysed:
        reasons = sorted({image.reason for image in answer.findings.images})
        _fail(node, held, "no image could be analysed: " + "; ".join(reasons))
        return
    enter(node, Stage.RECORDING, 0)
    with node.database.writing() as session:
        is_kept = shadows.finish_shadow(
            session,
            held,
            findings=to_json(answer.findings),
            answered_by=model.in_words,
            at=database_time(session),
        )
    if is_kept:
        log.info("shadow_done", study=order.study_instance_uid, bundle=held.bundle)


def _end_badly(node: Runtime, held: ShadowClaim, reason: str) -> None:
    if held.attempt >= node.settings.work.maximum_attempts:
        _fail(node, held, reason)
    else:
        wait = _FIRST_WAIT_SECONDS * 2 ** (held.attempt - 1)
        _give_back(node, held, reason, seconds=wait, counted=True)


def _fail(node: Runtime, held: ShadowClaim, reason: str) -> None:
    log.error("shadow_failed", bundle=held.bundle, reason=reason)
    with node.database.writing() as session:
        shadows.fail_shadow(session, held, reason=reason, at=database_time(session))


def _give_back(
    node: Runtime, held: ShadowClaim, reason: str, *, seconds: float, counted: bool
) -> None:
    log.warning("shadow_given_back", bundle=held.bundle, reason=reason)
    with node.database.writing() as session:
        due_at = database_time(session) + timedelta(seconds=seconds)
        shadows.give_back_shadow(session, held, reason=reason, due_at=due_at, counted=counted)


@contextmanager
def _kept_alive(node: Runtime, held: ShadowClaim) -> Iterator[None]:
    """Renew a lease by heartbeat until the block ends."""
    stop = threading.Event()
    lease = timedelta(seconds=node.settings.work.lease_seconds)

    def beat() -> None:
        while not stop.wait(node.settings.work.heartbeat_seconds):
            if node.stages.has_passed:
                return
            try:
                with node.database.writing() as session:
                    until = database_time(session) + lease
                    if not shadows.renew_shadow(session, held, until=until):
                        return
            except DATABASE_TROUBLE as error:
                log.warning("heartbeat_missed", reason=type(error).__name__)

    heart = threading.Thread(target=beat, name="heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        stop.set()
        heart.join()
