"""What an attempt is to analyse: read from ledger and spool, and requested of the engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.queries.former_objects import (
    FormerObject,
    former_findings,
    former_objects,
    newest_results_key,
)
from dicom_node.studies.ledger.tables import Analysis, Instance, Study
from dicom_node.studies.settling import instances_of, selection_from
from mammoclip_core.errors import CoreError
from mammoclip_core.images.selection import Generated2D
from worker.analyze.study_files import StudyFiles
from worker.runtime import Runtime
from worker.stages import Stage

if TYPE_CHECKING:
    from mammoclip_core.analysis.engine import StudyRequest
    from mammoclip_core.findings import ImageFindings


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The study as read from the ledger at the start of the attempt."""

    study: Study
    study_instance_uid: str
    spool_id: int
    revision: int
    chosen: Sequence[tuple[Instance, str]]
    left_out: tuple["ImageFindings", ...]
    instances: Sequence[Instance]
    former: dict[str, FormerObject]
    former_findings: Sequence[str]
    newest_results: tuple[int, str]


def read_order(node: Runtime, analysis: Analysis) -> Order:
    """Read from the ledger what is to be analysed."""
    with node.database.reading() as session:
        study = outcomes.study_of(session, analysis)
        instances = instances_of(session, study)
        selection = selection_from(instances, Generated2D(node.settings.model.generated_2d))
        return Order(
            study=study,
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


def as_received(node: Runtime, order: Order) -> Order:
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


def enter(node: Runtime, stage: Stage, images: int) -> None:
    """Begin a stage of an attempt, which has time for so many images."""
    seconds = node.settings.work.stage_deadline(images)
    if stage is Stage.INFERENCE and node.settings.model.compile:
        seconds += node.settings.work.loading_seconds
    node.stages.enter(stage, seconds)


def request_of(node: Runtime, order: Order, files: StudyFiles) -> "StudyRequest":
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
        on_stage=lambda stage: enter(node, Stage(stage), len(images)),
    )


def _number_of_frames(files: StudyFiles, path: Path) -> int:
    """Return the number of frames in the header; 1 if unreadable, which the engine reports."""
    from mammoclip_core.images.header.header_numbers import number_of

    try:
        return max(int(number_of(files.header(path), "NumberOfFrames", 1)), 1)
    except CoreError:
        return 1
