"""One attempt to analyse one revision of a study and to write its result objects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from dicom_node.errors import NodeError, OvertakenError
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.facts.identity import is_one_patient
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.spool.identity_key import serial_number_of
from dicom_node.studies.installation_key import serial_number
from dicom_node.studies.ledger import outcomes
from dicom_node.studies.ledger.correcting import CORRECTED
from dicom_node.studies.ledger.former_objects import (
    FormerObject,
    former_findings,
    former_objects,
    newest_results_key,
)
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.outcomes import MadeResult
from dicom_node.studies.ledger.reading import unread_images
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance
from dicom_node.studies.ledger.work import Claim
from dicom_node.studies.settling import instances_of, selection_from
from mammoclip_core.errors import CoreError
from mammoclip_core.findings_document import to_json
from mammoclip_core.images.selection import Generated2D
from worker.former_lesions import with_kept_lesions
from worker.former_results import former_results
from worker.kept_results import kept_results
from worker.results_key import results_key
from worker.runtime import Runtime
from worker.stages import Stage
from worker.study_files import StudyFiles
from worker.unfinished import end_badly, give_back_uncounted

if TYPE_CHECKING:
    from dicom_node.objects.identity import ResultIdentity
    from dicom_node.objects.sources import SourceInstance
    from mammoclip_core.analysis.engine import StudyRequest
    from mammoclip_core.findings import ImageFindings, StudyAnalysis

log = structlog.get_logger("worker.analyze")

_NO_SOURCE: Final = frozenset({"two-patients", "invalid-uid", "missing-uid", "mismatched-uid"})
"""Reasons for which a report mentions an object in text but does not refer to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """The study as read from the ledger at the start of the attempt."""

    study_id: int
    study_instance_uid: str
    spool_id: int
    revision: int
    chosen: Sequence[tuple[Instance, str]]
    left_out: tuple["ImageFindings", ...]
    instances: Sequence[Instance]
    former: dict[str, FormerObject]
    former_findings: Sequence[str]
    newest_results: tuple[int, str]


class NothingAnalysedError(NodeError):
    """No image of the study could be analysed; another attempt would fail as well."""

    reason = "nothing-analysed"


def analyze_study(node: Runtime, held: Claim, analysis: Analysis) -> None:
    """Analyse the study as the ledger now has it, and record the outcome."""
    try:
        with node.stages.held(lambda reason: end_badly(node, held, reason, final=False)):
            _analyze(node, held, analysis)
    # From the attempt or from recording its failure: the study was cancelled, got a late image, or
    # the lease was lost. Whoever moved it on has recorded that; nothing is left to be written.
    except OvertakenError:
        log.warning("analysis_overtaken", attempt=held.attempt)


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


def _enter(node: Runtime, stage: Stage, images: int) -> None:
    seconds = node.settings.work.stage_deadline(images)
    if stage is Stage.INFERENCE and node.settings.model.compile:
        seconds += node.settings.work.loading_seconds
    node.stages.enter(stage, seconds)


def _judge(node: Runtime, held: Claim, error: Exception) -> None:
    """Record an attempt that failed by the site or by the study."""
    _enter(node, Stage.RECORDING, 0)
    fault = node.site.behind(error, held.id)
    if fault:
        node.site.note(fault)
        give_back_uncounted(node, held, fault)
    elif away := node.away_from(Analysis, held.id):
        give_back_uncounted(node, held, away)
    elif isinstance(error, (CoreError, NodeError)):
        end_badly(node, held, str(error), final=False)
    else:
        # A bug that one study provokes: recorded now instead of when its lease runs out, and the
        # worker goes on to the next study.
        log.exception("analysis_broke", reason=type(error).__name__)
        end_badly(node, held, f"unexpected error: {type(error).__name__}", final=False)


def _attempt(node: Runtime, held: Claim, analysis: Analysis) -> None:
    _enter(node, Stage.READING, 0)
    order = _order(node, analysis)
    _enter(node, Stage.READING, len(order.instances))
    order = _as_received(node, order)
    log.info("analysis_started", study=order.study_instance_uid, revision=order.revision)
    files = StudyFiles(node.decoding.read_image, node.settings.results.longest_side_pixels)
    request = _request(node, order, files)
    answer = with_kept_lesions(node.engine.analyze(request), order.former_findings)
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
    _enter(node, Stage.DRAWING, len(request.images))
    results, key = _results(node, held, order, answer, files)
    findings = to_json(answer.findings)
    _enter(node, Stage.RECORDING, len(request.images))
    try:
        with node.database.writing() as session:
            outcomes.finish_analysis(
                session,
                held,
                findings=findings,
                bundle=_bundle_of(node),
                results=results,
                results_key=key,
                destinations=_destinations_of(node, order.study_instance_uid),
                at=database_time(session),
            )
    except OvertakenError:
        # Cancelled, or erased: what was made of the patient's images must not stay behind.
        node.reach.spool(order.spool_id).drop_results(held.id, held.version)
        raise
    log.info(
        "analysis_done",
        study=order.study_instance_uid,
        revision=order.revision,
        count=len(results),
        warning=node.manifest.warning or None,
        detail=node.stages.in_words(),
    )
    if unread := unread_images(findings):
        log.warning("analysis_partial", study=order.study_instance_uid, detail=unread)


def _bundle_of(node: Runtime) -> str:
    return f"{node.manifest.name} {node.manifest.version} {node.manifest.weights_sha256}"


def _destinations_of(node: Runtime, study_instance_uid: str) -> list[str]:
    is_canary = study_instance_uid == CANARY_STUDY
    chosen = node.settings.canary_destinations if is_canary else node.settings.destinations
    return [destination.name for destination in chosen]


def _request(node: Runtime, order: _Order, files: StudyFiles) -> "StudyRequest":
    """Request every selected image, in the frames that the settings select."""
    from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
    from mammoclip_core.images.tomosynthesis import Tomosynthesis, frames_to_look_at, refusal_of

    how = Tomosynthesis(node.settings.model.tomosynthesis)
    images: list[ImageToAnalyse] = []
    refused: list[ImageFindings] = []
    for row, remark in order.chosen:
        image = ImageToAnalyse(
            sop_instance_uid=row.sop_instance_uid,
            path=node.reach.image(row),
            laterality=row.laterality,
            view_position=row.view_position,
            remark=remark,
        )
        frames = frames_to_look_at(_number_of_frames(files, image.path), how)
        images.extend(replace(image, frame=frame) for frame in frames)
        if not frames:
            refused.append(refusal_of(row.sop_instance_uid, row.laterality, row.view_position))
    return StudyRequest(
        study_instance_uid=order.study_instance_uid,
        images=tuple(images),
        left_out=(*refused, *order.left_out),
        tomosynthesis=how,
        on_decoded=files.keep,
        on_stage=lambda stage: _enter(node, Stage(stage), len(images)),
    )


def _number_of_frames(files: StudyFiles, path: Path) -> int:
    """Return the number of frames in the header; 1 if unreadable, which the engine reports."""
    from mammoclip_core.images.header.header_numbers import number_of

    try:
        return max(int(number_of(files.header(path), "NumberOfFrames", 1)), 1)
    except CoreError:
        return 1


def _order(node: Runtime, analysis: Analysis) -> _Order:
    with node.database.reading() as session:
        study = outcomes.study_of(session, analysis)
        instances = instances_of(session, study)
        selection = selection_from(instances, Generated2D(node.settings.model.generated_2d))
        return _Order(
            study_id=study.id,
            study_instance_uid=study.study_instance_uid,
            spool_id=study.spool_id,
            revision=analysis.revision,
            chosen=selection.chosen,
            left_out=selection.left_out,
            instances=instances,
            former=former_objects(session, analysis),
            former_findings=former_findings(session, analysis),
            newest_results=newest_results_key(session, analysis),
        )


def _as_received(node: Runtime, order: _Order) -> _Order:
    """Fail the images whose files are no longer those that were received."""
    from dicom_node.facts.instance import content_sha256
    from mammoclip_core.findings import ImageFindings, ImageStatus

    def is_unchanged(row: Instance) -> bool:
        try:
            if content_sha256(node.reach.image(row)) == row.content_sha256:
                return True
            # A copy that was fetched may be damaged: once more, from the store.
            return node.reach.forget(row) and (
                content_sha256(node.reach.image(row)) == row.content_sha256
            )
        except (OSError, ValueError):  # it is gone, or a link leads out of the spool
            node.reach.spool(row.spool_id).require_readable()
            return False

    changed = [row for row, _ in order.chosen if not is_unchanged(row)]
    failed = (
        ImageFindings(
            sop_instance_uid=row.sop_instance_uid,
            laterality=row.laterality,
            view_position=row.view_position,
            status=ImageStatus.FAILED,
            reason="its file is gone or was changed since it was received",
        )
        for row in changed
    )
    return replace(
        order,
        chosen=[one for one in order.chosen if one[0] not in changed],
        left_out=(*order.left_out, *failed),
        instances=[row for row in order.instances if row not in changed],
    )


def _results(
    node: Runtime, held: Claim, order: _Order, answer: "StudyAnalysis", files: StudyFiles
) -> tuple[list[MadeResult], str]:
    """Return the result objects, made anew only if something of what they are made of is new."""
    from dicom_node.destination_profiles import profiles_in_use
    from dicom_node.objects.analysed_study import ResultOptions
    from dicom_node.objects.results import stream_results

    identity, sources = _identity(node, order), list(_rows_of_sources(order))
    options = ResultOptions(picture_long_side=node.settings.results.longest_side_pixels)
    profiles = profiles_in_use(node.settings)
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
        former=tuple(former_results(node, node.reach.spool(order.spool_id), order.former)),
        options=options,
    )
    spool = node.reach.spool(order.spool_id)
    try:
        return list(kept_results(spool, held, order.former, made)), key
    except BaseException:
        # No row will name what was written until something went wrong.
        spool.drop_results(held.id, held.version)
        raise


def _former_if_equal(node: Runtime, order: _Order, key: str) -> list[MadeResult]:
    """Return the newest former results if they were made of the same; empty if made anew."""
    revision, newest_key = order.newest_results
    newest = [one.made for one in order.former.values() if one.kept_until == revision]
    # What a note retracts follows from what the archives hold by now.
    if newest_key != key or any(one.kind == ResultKind.REJECTION_NOTE for one in newest):
        return []
    spool = node.reach.spool(order.spool_id)
    are_there = all(spool.holds(one.place) for one in newest)
    return newest if are_there else []


def _identity(node: Runtime, order: _Order) -> "ResultIdentity":
    from dicom_node.facts.result_kinds import series_numbers_from
    from dicom_node.objects.identity import ResultIdentity
    from dicom_node.objects.local_time import site_time_zone

    settings = node.settings.results
    return ResultIdentity(
        bundle=node.manifest.identity,
        warning=node.manifest.warning,
        software_version=version("mammoclip-dicom"),
        revision=order.revision,
        created_at=datetime.now(UTC),
        device_serial_number=settings.device_serial_number or _serial_number(node),
        time_zone=site_time_zone(settings.time_zone),
        series_numbers=series_numbers_from(settings.series_number_base),
    )


def _serial_number(node: Runtime) -> str:
    # From the key itself only where an earlier release's node has not told the ledger.
    return serial_number(node.database) or serial_number_of(node.spool)


def _rows_of_sources(order: _Order) -> Iterator[tuple[Instance, bool]]:
    """Yield the images that results are of or refer to, each with whether it was analysed.

    The last one names the patient, where they spell it in several ways: what was corrected last.
    """
    found = [*_analysed_and_stated(order)]
    yield from sorted(found, key=lambda one: (one[0].reason == CORRECTED, one[0].id))


def _analysed_and_stated(order: _Order) -> Iterator[tuple[Instance, bool]]:
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
