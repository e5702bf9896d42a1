"""One attempt to analyse one revision of a study and to write its result objects."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from dicom_node.errors import NodeError, OvertakenError
from dicom_node.facts.identity import is_one_patient
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.routing.route import Recipient, Route
from dicom_node.studies.ledger.arrival.correcting import CORRECTED
from dicom_node.studies.ledger.arrival.rejecting import REJECTED
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.doubt import times_begun
from dicom_node.studies.ledger.due.outcomes import MadeResult
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.monitoring.notes import note_answer
from dicom_node.studies.ledger.monitoring.threshold_sets import thresholds_for
from dicom_node.studies.ledger.queries.reading import unread_images
from dicom_node.studies.ledger.shadows import begin_shadows
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance
from mammoclip_core.errors import CoreError
from mammoclip_core.findings_document import to_json
from worker.analyze.answer_notes import answer_note, fingerprint_of, header_of
from worker.analyze.answer_routing import additions_of, recipients_of, require_known_profiles
from worker.analyze.former_lesions import with_kept_lesions
from worker.analyze.former_results import former_results
from worker.analyze.kept_results import kept_results
from worker.analyze.models import LOOKED_AT_AGAIN_SECONDS, Model, RouteFaultError
from worker.analyze.result_identity import result_identity
from worker.analyze.results_key import results_key
from worker.analyze.retraction import is_retraction, retract
from worker.analyze.self_test import require_sound_worker
from worker.analyze.study_files import StudyFiles
from worker.analyze.study_order import Order, as_received, enter, read_order, request_of
from worker.runtime import Runtime
from worker.site_faults import DOUBTFUL, WorkerFaultError
from worker.stages import OF_THE_SITE, Stage
from worker.unfinished import end_badly, end_in_doubt, give_back_uncounted, give_up_in_doubt

if TYPE_CHECKING:
    from dicom_node.objects.sources import SourceInstance
    from mammoclip_core.findings import StudyAnalysis

log = structlog.get_logger("worker.analyze")

_NO_SOURCE: Final = frozenset(
    {"two-patients", "invalid-uid", "missing-uid", "mismatched-uid", REJECTED}
)
"""Reasons for which a report mentions an object in text but does not refer to it."""

_SECONDS_AFTER_A_HANG: Final = 300
"""Wait after disk or ledger hung, about as long as a stage may take: others have their turn."""


class NothingAnalysedError(NodeError):
    """No image of the study could be analysed; another attempt would fail as well."""

    reason = "nothing-analysed"


def analyze_study(node: Runtime, held: Claim, analysis: Analysis) -> None:
    """Analyse the study as the ledger now has it, and record the outcome."""
    try:
        _analyze_in_time(node, held, analysis)
    # From the attempt or from recording its failure: the study was cancelled, got a late image, or
    # the lease was lost. Whoever moved it on has recorded that; nothing is left to be written.
    except OvertakenError:
        log.warning("analysis_overtaken", attempt=held.attempt)


def _analyze_in_time(node: Runtime, held: Claim, analysis: Analysis) -> None:
    try:
        with node.stages.held(partial(_record_overrun, node, held)):
            _analyze(node, held, analysis)
    except RuntimeError as error:  # no thread that watches the deadlines: nothing was begun
        _judge(node, held, error)


def _record_overrun(node: Runtime, held: Claim, reason: str) -> None:
    if node.stages.overrun in OF_THE_SITE:
        give_back_uncounted(node, held, reason, wait_seconds=_SECONDS_AFTER_A_HANG)
    else:
        end_in_doubt(node, held, reason)


def _analyze(node: Runtime, held: Claim, analysis: Analysis) -> None:
    try:
        _attempt(node, held, analysis)
    except OvertakenError:
        raise
    except NothingAnalysedError as error:
        end_badly(node, held, str(error), final=True)
    except Exception as error:  # noqa: BLE001  _judge tells it
        _judge(node, held, error)
    else:
        node.site.study_is_done(held.id)


def _judge(node: Runtime, held: Claim, error: Exception) -> None:
    """Record an attempt that failed by the site or by the study."""
    enter(node, Stage.RECORDING, 0)
    if isinstance(error, RouteFaultError):
        give_back_uncounted(node, held, str(error), wait_seconds=LOOKED_AT_AGAIN_SECONDS)
        return
    if isinstance(error, WorkerFaultError):
        give_up_in_doubt(node, held, str(error))
        return
    fault = node.site.behind(error, held.id, begun=_times_begun(node, held, error))
    if fault:
        node.site.note(fault)
        give_back_uncounted(node, held, fault)
    elif away := node.away_from(Analysis, held.id):
        give_back_uncounted(node, held, away)
    else:
        reason = str(error)
        if not isinstance(error, (CoreError, NodeError)):
            # A bug that one study provokes: recorded now instead of when its lease runs out, and
            # the worker goes on to the next study.
            log.exception("analysis_broke", reason=type(error).__name__)
            reason = f"unexpected error: {type(error).__name__}"
        if isinstance(error, DOUBTFUL):
            end_in_doubt(node, held, reason)
        else:
            end_badly(node, held, reason, final=False)


def _times_begun(node: Runtime, held: Claim, error: Exception) -> int:
    """Count the attempts at a study, where the error leaves it open what is at fault."""
    if not isinstance(error, DOUBTFUL):
        return 1
    with node.database.reading() as session:
        return times_begun(session, held.id)


def _attempt(node: Runtime, held: Claim, analysis: Analysis) -> None:
    require_sound_worker(node, held, analysis)
    enter(node, Stage.READING, 0)
    order = read_order(node, analysis)
    if is_retraction(order):
        retract(node, held, order)
        return
    route = Route.from_json(analysis.rule, analysis.route)
    require_known_profiles(node, route)
    model = node.model(route.bundle)
    enter(node, Stage.READING, len(order.instances))
    order = as_received(node, order)
    log.info("analysis_started", study=order.study_instance_uid, revision=order.revision)
    files = StudyFiles(node.decoding.read_image, node.settings.results.longest_side_pixels)
    header = header_of((node.reach.image(row) for row, _ in order.chosen), files)
    equipment = fingerprint_of(header)
    with node.database.reading() as session:
        number, thresholds = thresholds_for(session, equipment, model.in_words)
    request = replace(request_of(node, order, files), thresholds=thresholds)
    answer = with_kept_lesions(model.engine.analyze(request), order.former_findings)
    if not answer.findings.analysed:
        reasons = sorted({image.reason for image in answer.findings.images})
        raise NothingAnalysedError("no image could be analysed: " + "; ".join(reasons))
    for image in answer.findings.images:
        if image.reason:
            log.warning(
                f"image_{image.status.value}",
                sop_instance=image.sop_instance_uid,
                detail=image.reason,
            )
    # Files first, then the rows that name them: a crash in between leaves files without a row, and
    # the next attempt writes its own beside them.
    enter(node, Stage.DRAWING, len(request.images))
    added = additions_of(
        node,
        order.study,
        route,
        answer.findings,
        chosen=[row for row, _ in order.chosen],
        instances=order.instances,
        files=files,
    )
    recipients = recipients_of(node, order.study_instance_uid, route, added)
    results: list[MadeResult] = []
    key = ""
    if not route.is_shadow:
        results, key = _results(
            node, held, order, answer, files, model=model, recipients=recipients
        )
    findings = to_json(answer.findings)
    enter(node, Stage.RECORDING, len(request.images))
    try:
        with node.database.writing() as session:
            outcomes.finish_analysis(
                session,
                held,
                findings=findings,
                bundle=model.in_words,
                results=results,
                results_key=key,
                recipients=recipients,
                result_rules=added.rules,
                priority=0 if added.priority is None else int(added.priority),
                at=database_time(session),
            )
            begin_shadows(session, held.id, route.shadows, at=database_time(session))
            note = answer_note(answer, header, equipment, threshold_set=number)
            note_answer(session, held.id, note, at=database_time(session))
    except OvertakenError:
        # Cancelled, or erased: what was made of the patient's images must not stay behind.
        node.reach.spool(order.spool_id).drop_results(held.id, held.version)
        raise
    log.info(
        "analysis_done",
        study=order.study_instance_uid,
        revision=order.revision,
        count=len(results),
        warning=model.manifest.warning or None,
        detail=node.stages.in_words(),
    )
    if unread := unread_images(findings):
        log.warning("analysis_partial", study=order.study_instance_uid, detail=unread)


def _results(
    node: Runtime,
    held: Claim,
    order: Order,
    answer: "StudyAnalysis",
    files: StudyFiles,
    *,
    model: Model,
    recipients: Sequence[Recipient],
) -> tuple[list[MadeResult], str]:
    """Return the result objects, made anew only if something of what they are made of is new."""
    from dicom_node.destination_profiles import profiles_in_use
    from dicom_node.objects.analysed_study import ResultOptions
    from dicom_node.objects.results import stream_results

    identity = result_identity(
        node, order.revision, model.manifest.identity, warning=model.manifest.warning
    )
    sources = list(_rows_of_sources(order))
    options = ResultOptions(picture_long_side=node.settings.results.longest_side_pixels)
    profiles = profiles_in_use(node.settings, recipients)
    key = results_key(
        [row for row, _ in sources], answer, identity, profiles=profiles, options=options
    )
    former = _former_if_equal(node, order, key)
    if former:
        return former, key
    made = stream_results(
        list(_sources(node, sources, files)),
        answer,
        identity,
        profiles=profiles,
        former=tuple(
            former_results(node, node.reach.spool(order.spool_id), order.former, recipients)
        ),
        options=options,
    )
    spool = node.reach.spool(order.spool_id)
    try:
        return list(kept_results(spool, held, order.former, made)), key
    except BaseException:
        # No row will name what was written until something went wrong.
        spool.drop_results(held.id, held.version)
        raise


def _former_if_equal(node: Runtime, order: Order, key: str) -> list[MadeResult]:
    """Return the newest former results if they were made of the same; empty if made anew."""
    revision, newest_key = order.newest_results
    newest = [one.made for one in order.former.values() if one.kept_until == revision]
    # What a note retracts follows from what the archives hold by now.
    if newest_key != key or any(one.kind == ResultKind.REJECTION_NOTE for one in newest):
        return []
    spool = node.reach.spool(order.spool_id)
    are_there = all(spool.holds(one.place) for one in newest)
    return newest if are_there else []


def _rows_of_sources(order: Order) -> Iterator[tuple[Instance, bool]]:
    """Yield the images that results are of or refer to, each with whether it was analysed.

    The last one names the patient, where they spell it in several ways: what was corrected last.
    """
    found = [*_analysed_and_stated(order)]
    yield from sorted(found, key=lambda one: (one[0].reason == CORRECTED, one[0].id))


def _analysed_and_stated(order: Order) -> Iterator[tuple[Instance, bool]]:
    chosen = {row.sop_instance_uid: row for row, _ in order.chosen}
    for row in chosen.values():
        yield row, True
    patients = [row.patient_digest for row in chosen.values()]
    stated = {image.sop_instance_uid for image in order.left_out} - chosen.keys()
    # The newest row of a UID: an object that was registered again is where its last row says.
    newest = {
        row.sop_instance_uid: row
        for row in order.instances
        if row.place and row.state in {InstanceState.REGISTERED, InstanceState.SET_ASIDE}
    }
    for uid in sorted(stated & newest.keys()):
        is_of_patient = is_one_patient([*patients, newest[uid].patient_digest])
        if newest[uid].reason not in _NO_SOURCE and is_of_patient:
            yield newest[uid], False


def _sources(
    node: Runtime, rows: Sequence[tuple[Instance, bool]], files: StudyFiles
) -> Iterator["SourceInstance"]:
    from dicom_node.objects.sources import SourceInstance

    for row, is_analysed in rows:
        path = node.reach.image(row)
        yield SourceInstance(
            dataset=files.header(path),
            pixels=partial(files.shown, path) if is_analysed else None,
        )
