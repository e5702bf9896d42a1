"""Test images that a worker analyses before the last attempt at a study, which may be deadly."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final

import structlog

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.routing.route import Route
from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.written_once import write_once
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.stored_spool import SpoolFiles
from dicom_node.studies.ledger.due.doubt import note_tested, wants_test
from dicom_node.studies.ledger.due.outcomes import study_of
from dicom_node.studies.ledger.due.work import Claim, held_row
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.tables import Analysis
from mammoclip_core.errors import DeviceError
from worker.analyze.answer_routing import require_known_profiles
from worker.analyze.kept_results import kept_results
from worker.analyze.models import Model
from worker.analyze.result_identity import result_identity
from worker.analyze.study_files import StudyFiles
from worker.runtime import Runtime
from worker.site_faults import WorkerFaultError, is_of_the_site, words_of
from worker.stages import Stage

if TYPE_CHECKING:
    from dicom_node.objects.products import Profile
    from mammoclip_core.analysis.engine import StudyRequest

log = structlog.get_logger("worker.analyze")

TEST_IMAGE: Final = "worker-test"
"""Begin of the names of their files in the spool, always of the same content.

They take a worker's work and memory as a screening study does.
"""

_IMAGES: Final = 4
_STAGES: Final = 4
"""Decoding, inference, interpretation and drawing, which have their time together here."""


def require_sound_worker(node: Runtime, held: Claim, analysis: Analysis) -> None:
    """Have the worker analyse test images first, if this is the last attempt at a study.

    It does all that it does of a study: it decodes and analyses them, and draws and writes results,
    which are removed. If it dies or hangs at that, no attempt is used up.

    Raises
    ------
    WorkerFaultError
        The test images cannot be analysed.
    RouteFaultError
        What the study's rule names cannot be used.
    OvertakenError
        The claim is no longer valid.
    """
    from dicom_node.destination_profiles import profiles_in_use

    work = node.settings.work
    with node.database.reading() as session:
        if not wants_test(
            session, held.id, attempt=held.attempt, maximum_attempts=work.maximum_attempts
        ):
            return
        spool_id = study_of(session, session.get_one(Analysis, held.id)).spool_id
    route = Route.from_json(analysis.rule, analysis.route)
    require_known_profiles(node, route)
    model, results = node.model(route.bundle), node.reach.spool(spool_id)
    loading = work.loading_seconds if node.settings.model.compile else 0
    node.stages.enter(Stage.TESTING, _STAGES * work.stage_deadline(_IMAGES) + loading)
    try:
        _analyse(node, held, model, profiles_in_use(node.settings, route.recipients), results)
    # Without a study nothing can be the study's fault, whatever a library raises.
    except Exception as error:
        if is_of_the_site(error):
            raise
        _remove_images(node.spool)  # they may be damaged: the next test writes them anew
        node.site.needs_new_process |= isinstance(error, DeviceError)
        words = str(error) if isinstance(error, WorkerFaultError) else words_of(error)
        raise WorkerFaultError(f"test images cannot be analysed: {words}") from error
    words = f"{held.holder} analysed test images before the last attempt"
    with node.database.writing() as session:
        row = held_row(session, Analysis, held)
        note_tested(session, row, words, at=database_time(session))
    log.info("worker_tested", attempt=held.attempt)


def _analyse(
    node: Runtime, held: Claim, model: Model, profiles: "Sequence[Profile]", results: SpoolFiles
) -> None:
    from dicom_node.objects.analysed_study import ResultOptions
    from dicom_node.objects.results import stream_results
    from dicom_node.objects.sources import SourceInstance
    from mammoclip_core.findings import ImageStatus

    long_side = node.settings.results.longest_side_pixels
    files = StudyFiles(node.decoding.read_image, long_side)
    request = replace(_request(node.spool), on_decoded=files.keep)
    answer = model.engine.analyze(request)
    failed = [one for one in answer.findings.images if one.status is ImageStatus.FAILED]
    if failed:
        reasons = "; ".join(sorted({one.reason for one in failed}))
        raise WorkerFaultError(reasons)
    manifest = model.manifest
    made = stream_results(
        [
            SourceInstance(dataset=files.header(one.path), pixels=partial(files.shown, one.path))
            for one in request.images
        ],
        answer,
        result_identity(node, 1, manifest.identity, warning=manifest.warning),
        profiles=profiles,
        former=(),
        options=ResultOptions(picture_long_side=long_side),
    )
    try:
        for _ in kept_results(results, held, {}, made):
            pass
    finally:
        results.drop_results(held.id, held.version)


def _request(spool: Spool) -> "StudyRequest":
    from dicom_node.canary.phantom import VIEWS, image_uid, large_image
    from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest

    images: list[ImageToAnalyse] = []
    for number, (view, side) in enumerate(VIEWS, start=1):
        name = _name(number)
        path = spool.root / name
        if not path.exists():
            content = BytesIO()
            large_image(number).save_as(content, enforce_file_format=True)
            with disk_trouble():
                write_once(spool, name, content.getvalue())
        images.append(
            ImageToAnalyse(
                sop_instance_uid=image_uid(number), path=path, laterality=side, view_position=view
            )
        )
    return StudyRequest(study_instance_uid=CANARY_STUDY, images=tuple(images))


def _remove_images(spool: Spool) -> None:
    with disk_trouble():
        for number in range(1, _IMAGES + 1):
            (spool.root / _name(number)).unlink(missing_ok=True)


def _name(number: int) -> str:
    return f"{TEST_IMAGE}-{number}.dcm"
