"""Notes of answers to watch the model by: entered with each answer, and read in their order."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.monitoring.observation import Fingerprint, Observation
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.tables import Analysis, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNote:
    """What is noted of one answer; nothing of it names a patient.

    Attributes
    ----------
    presentation : ``2D``, ``synthetic`` or ``tomosynthesis``
    age_band : ten years, for example ``50-59``; empty if unknown
    density : A to D; empty if unknown
    answers : digest of the settings that can change the answer
    threshold_set : number of an accepted threshold set; 0 for the bundle's own
    scores : of each finding the highest score, and whether it reached the threshold
    views : of each finding its highest score by view, for example ``L-CC``
    images, left_out : with an answer, and without
    pixels : means of what was measured of the images' pixels, by name
    """

    equipment: Fingerprint = field(default_factory=Fingerprint)
    presentation: str = ""
    age_band: str = ""
    implants: bool = False
    density: str = ""
    answers: str = ""
    threshold_set: int = 0
    scores: Mapping[str, tuple[float, bool]]
    views: Mapping[str, Mapping[str, float]]
    images: int
    left_out: int
    embedding: tuple[float, ...] = ()
    pixels: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_flagged(self) -> bool:
        """Tell whether any finding reached its threshold."""
        return any(flagged for _, flagged in self.scores.values())


def note_answer(session: Session, analysis_id: int, note: AnswerNote, *, at: datetime) -> None:
    """Enter what is noted of an answer; of a canary study nothing is.

    Parameters
    ----------
    at : when it was there
    """
    analysis = session.get_one(Analysis, analysis_id)
    study = session.get_one(Study, analysis.study_id)
    if study.study_instance_uid == CANARY_STUDY:
        return
    session.execute(delete(MonitorNote).where(MonitorNote.analysis_id == analysis_id))
    session.add(
        MonitorNote(
            analysis_id=analysis_id,
            at=study.first_received_at,
            seconds=max(int((at - study.last_received_at).total_seconds()), 0),
            sender=study.calling_ae_title,
            manufacturer=note.equipment.manufacturer,
            model=note.equipment.model,
            serial=note.equipment.serial,
            software=note.equipment.software,
            presentation=note.presentation,
            age_band=note.age_band,
            implants=note.implants,
            density=note.density,
            bundle=analysis.bundle,
            thresholds=note.answers,
            threshold_set=note.threshold_set,
            flagged=note.is_flagged,
            images=note.images,
            left_out=note.left_out,
            scores=json.dumps(note.scores),
            views=json.dumps(note.views),
            embedding=json.dumps(note.embedding) if note.embedding else "",
            pixels=json.dumps(dict(note.pixels)) if note.pixels else "",
        )
    )


def notes(
    session: Session,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int = 0,
) -> Iterator[MonitorNote]:
    """Yield notes in the order of their time, of each study the newest revision's alone.

    Parameters
    ----------
    after : number of a note; only later ones
    """
    query = select(MonitorNote, Analysis.study_id).join(
        Analysis, Analysis.id == MonitorNote.analysis_id
    )
    if after:
        query = query.where(MonitorNote.id > after)
    if since is not None:
        query = query.where(MonitorNote.at >= since)
    if until is not None:
        query = query.where(MonitorNote.at < until)
    # Revisions of one study have one time, and the newest one comes last of them.
    query = query.order_by(MonitorNote.at, Analysis.study_id, MonitorNote.analysis_id)
    held: tuple[int, MonitorNote] | None = None
    for note, study_id in session.execute(query.execution_options(yield_per=1000)):
        if held is not None and held[0] != study_id:
            yield held[1]
        held = study_id, note
    if held is not None:
        yield held[1]


def observation_of(note: MonitorNote, *, late_after_seconds: float) -> Observation:
    """Return a note as the watch takes it.

    Parameters
    ----------
    late_after_seconds : from the last image to the answer
    """
    scores = {name: float(score) for name, (score, _) in json.loads(note.scores).items()}
    return Observation(
        at=note.at,
        equipment=Fingerprint(note.manufacturer, note.model, note.serial, note.software),
        answers=f"{note.bundle} {note.thresholds}",
        flagged=note.flagged,
        scores=scores,
        asymmetry=_asymmetry(json.loads(note.views)),
        embedding=tuple(json.loads(note.embedding or "[]")),
        pixels=json.loads(note.pixels or "{}"),
        left_out=note.left_out > 0,
        late=note.seconds > late_after_seconds,
    )


def _asymmetry(views: Mapping[str, Mapping[str, float]]) -> float | None:
    found = []
    for by_view in views.values():
        left, right = (
            [score for view, score in by_view.items() if view.startswith(f"{side}-")]
            for side in "LR"
        )
        if left and right:
            found.append(abs(max(left) - max(right)))
    return max(found, default=None)
