"""Retracts the results of a study of which every image was rejected."""

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from dicom_node.errors import NodeError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.routing.route import Recipient
from dicom_node.studies.ledger.arrival.rejecting import REJECTED
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.outcomes import MadeResult
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries.former_objects import destinations_reached
from mammoclip_core.findings_document import from_json, to_json
from worker.analyze.former_results import former_results
from worker.analyze.kept_results import kept_results
from worker.analyze.result_identity import result_identity
from worker.analyze.study_order import Order, enter
from worker.runtime import Runtime
from worker.stages import Stage

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from mammoclip_core.findings import StudyFindings

log = structlog.get_logger("worker.analyze")


class NothingToRetractByError(NodeError):
    """No file of the study is left that says whose it is."""

    reason = "retraction-without-a-file"


def is_retraction(order: Order) -> bool:
    """Return whether nothing of a study is left to analyse since its images were rejected."""
    return not order.chosen and any(row.reason == REJECTED for row in order.instances)


def retract(node: Runtime, held: Claim, order: Order) -> None:
    """Record an answer without images, and have a note sent to whoever may hold former results.

    Raises
    ------
    OvertakenError, NothingToRetractByError
    """
    from dicom_node.destination_profiles import RETRACTION_PROFILE

    with node.database.reading() as session:
        reached = sorted(destinations_reached(session, held.id))
    recipients = tuple(
        Recipient(name, RETRACTION_PROFILE)
        for name in reached
        if node.settings.destination(name) is not None
    )
    former = from_json(order.former_findings[-1])
    findings = replace(former, images=order.left_out, breasts=(), study=())
    spool = node.reach.spool(order.spool_id)
    enter(node, Stage.DRAWING, 1)
    try:
        results = _note(node, held, order, findings, recipients) if recipients else []
        enter(node, Stage.RECORDING, 1)
        with node.database.writing() as session:
            outcomes.finish_analysis(
                session,
                held,
                findings=to_json(findings),
                bundle=f"{former.bundle.name} {former.bundle.version} {former.bundle.sha256}",
                results=results,
                recipients=recipients if results else (),
                at=database_time(session),
            )
    except BaseException:
        # No row names what was written.
        spool.drop_results(held.id, held.version)
        raise
    log.info(
        "results_retracted",
        study=order.study_instance_uid,
        revision=order.revision,
        count=len(results),
    )


def _note(
    node: Runtime,
    held: Claim,
    order: Order,
    findings: "StudyFindings",
    recipients: tuple[Recipient, ...],
) -> list[MadeResult]:
    from dicom_node.objects.products import RETRACTION
    from dicom_node.objects.results import stream_results
    from dicom_node.objects.sources import SourceInstance
    from mammoclip_core.findings import StudyAnalysis

    spool = node.reach.spool(order.spool_id)
    note = RETRACTION.product(ResultKind.REJECTION_NOTE)
    former = tuple(
        # Whatever an archive holds of it: a note may name what it never got.
        replace(one, held_for=frozenset({note}))
        for one in former_results(node, spool, order.former, recipients)
    )
    made = stream_results(
        [SourceInstance(dataset=_named_patient(node, order), pixels=None)],
        StudyAnalysis(findings=findings),
        result_identity(
            node, order.revision, findings.bundle, warning=findings.bundle.warning or ""
        ),
        profiles=(RETRACTION,),
        former=former,
    )
    return list(kept_results(spool, held, order.former, made))


def _named_patient(node: Runtime, order: Order) -> "Dataset":
    """Return the header of a file that says whose study it is: of an image, or of a result."""
    import pydicom

    from mammoclip_core.images.decoding.data_set import read_dataset

    for row in reversed(order.instances):
        if row.place and row.reason == REJECTED:
            return read_dataset(node.reach.image(row))
    spool = node.reach.spool(order.spool_id)
    for former in reversed(order.former.values()):
        if former.made.place and spool.holds(former.made.place):
            return pydicom.dcmread(spool.file(former.made.place), stop_before_pixels=True)
    raise NothingToRetractByError(
        "its results cannot be retracted by a note, since no file of the study is left: remove "
        "them at the archive"
    )
