"""Test images that a worker analyses before the last attempt at a study, which may be deadly."""

from io import BytesIO
from typing import TYPE_CHECKING, Final

import structlog

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.written_once import write_once
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.due.doubt import note_tested, wants_test
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.locks import database_time
from worker.analyze.models import Model
from worker.analyze.study_order import enter
from worker.runtime import Runtime
from worker.site_faults import DOUBTFUL, OF_THE_SITE, WorkerFaultError
from worker.stages import Stage

if TYPE_CHECKING:
    from mammoclip_core.analysis.engine import StudyRequest

log = structlog.get_logger("worker.analyze")

TEST_IMAGE: Final = "worker-test"
"""Begin of the names of their files in the spool, always of the same content.

They take a worker's work and memory as a screening study does.
"""

_IMAGES: Final = 4
_CANNOT: Final = "the worker cannot analyse its test images"


def require_sound_worker(node: Runtime, held: Claim, model: Model) -> None:
    """Have the worker analyse test images first, if this is the last attempt at a study.

    If it dies or hangs at them, or if they raise an error, no attempt is used up.

    Raises
    ------
    WorkerFaultError
        The test images cannot be analysed.
    """
    with node.database.reading() as session:
        if not wants_test(
            session,
            held.id,
            attempt=held.attempt,
            maximum_attempts=node.settings.work.maximum_attempts,
        ):
            return
    enter(node, Stage.TESTING, _IMAGES)
    try:
        wrong = _failures(model, _request(node.spool))
    except (*OF_THE_SITE, *DOUBTFUL):
        raise
    # Without a study nothing can be the study's fault, whatever a library raises.
    except Exception as error:
        raise WorkerFaultError(f"{_CANNOT}: {type(error).__name__}") from error
    if wrong:
        raise WorkerFaultError(f"{_CANNOT}: {wrong}")
    words = f"{held.holder} analysed test images before the last attempt"
    with node.database.writing() as session:
        note_tested(session, held.id, words, at=database_time(session))
    log.info("worker_tested", attempt=held.attempt)


def _failures(model: Model, request: "StudyRequest") -> str:
    """Analyse the test images; returns why any of them failed."""
    from mammoclip_core.findings import ImageStatus

    images = model.engine.analyze(request).findings.images
    return "; ".join(sorted({one.reason for one in images if one.status is ImageStatus.FAILED}))


def _request(spool: Spool) -> "StudyRequest":
    from dicom_node.canary.phantom import VIEWS, large_image
    from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest

    images: list[ImageToAnalyse] = []
    for number, (view, side) in enumerate(VIEWS, start=1):
        dataset = large_image(number)
        content = BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        with disk_trouble():
            path = write_once(spool, f"{TEST_IMAGE}-{number}.dcm", content.getvalue())
        images.append(
            ImageToAnalyse(
                sop_instance_uid=str(dataset.SOPInstanceUID),
                path=path,
                laterality=side,
                view_position=view,
            )
        )
    return StudyRequest(study_instance_uid=CANARY_STUDY, images=tuple(images))
