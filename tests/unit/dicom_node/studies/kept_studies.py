"""Studies with real files at every point of their life, for the tests of the retention."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from node_factory import (
    NOW,
    Reception,
    claimed,
    finished,
    instance_row,
    made_result,
    mammogram,
    study_row,
)
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.spool.names import Receipt, study_place
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.states import DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, Study
from dicom_node.studies.retention import Retention
from dicom_node.studies.settling import begin_analysis

LONG_AFTER = NOW + timedelta(days=31)
MONTH = RetentionSettings(days=30)


class Kept:
    """A study with two images on the disk, and what then befell it."""

    def __init__(self, reception: Reception, uid: str, *, is_received: bool = False) -> None:
        self.reception = reception
        self.uid = uid
        self.images = [
            mammogram(
                "CC",
                laterality,
                StudyInstanceUID=uid,
                SOPInstanceUID=f"{uid}.{number}",
                SeriesInstanceUID=f"{uid}.0",
            )
            for number, laterality in enumerate("LR")
        ]
        if is_received:
            self.send()
        else:
            self._enter()

    def send(self, **changes: Any) -> list[Instance | None]:
        """Send the images as a scanner does."""
        for image in self.images:
            for keyword, value in changes.items():
                setattr(image, keyword, value)
        return [self.reception.receive(image) for image in self.images]

    def _enter(self) -> None:
        """Enter the images without the time that reading their headers takes."""
        spool = self.reception.spool
        folder = spool.root / f"studies/{_folder(self.uid)}"
        folder.mkdir()
        with self.reception.database.writing() as session:
            study = study_row(session, self.uid, revision=0)
            for image in self.images:
                row = instance_row(session, study, sop_instance_uid=image.SOPInstanceUID)
                row.place, row.size_bytes = f"studies/{folder.name}/{row.receipt}.dcm", 100
                (spool.root / row.place).write_bytes(b"an image")

    @property
    def row(self) -> Study:
        return self.reception.study(self.uid)

    def settle(self, session: Session) -> Analysis:
        """Settle the study and make an analysis of it due."""
        study = session.scalars(select(Study).where(Study.study_instance_uid == self.uid)).one()
        study.state, study.last_received_at = StudyState.SETTLED, NOW
        return begin_analysis(session, study, because="settled", at=NOW)

    def analyse(self, session: Session, *, to: Iterable[str] = ("archive",)) -> list[Delivery]:
        """Settle and analyse the study, and write a result."""
        analysis = self.settle(session)
        place = self.reception.spool.keep_result(b"a result", analysis.id, 0, "000-report")
        uid = f"{self.uid}.9.{analysis.revision}"
        return finished(session, analysis, made_result(sop_instance_uid=uid, place=place), to=to)

    def deliver(self, *, to: Iterable[str] = ("archive",), at: datetime = NOW) -> "Kept":
        """Analyse the study and have its result accepted everywhere."""
        with self.reception.database.writing() as session:
            for delivery in self.analyse(session, to=to):
                outcomes.finish_delivery(session, claimed(session, delivery), at=at)
            session.execute(
                update(Study)
                .where(Study.study_instance_uid == self.uid)
                .values(last_received_at=at)
            )
        return self

    def end(self, state: DeliveryState) -> "Kept":
        """Analyse the study and leave its delivery in a state."""
        with self.reception.database.writing() as session:
            (delivery,) = self.analyse(session)
            session.execute(update(Delivery).where(Delivery.id == delivery.id).values(state=state))
        return self

    def files(self) -> set[str]:
        """Return the places of the study's files that are on the disk."""
        record = self.reception
        with record.database.reading() as session:
            analyses = session.scalars(
                select(Analysis.id).join(Study).where(Study.study_instance_uid == self.uid)
            )
            results = {f"results/{one}/" for one in analyses}
        folder = f"studies/{_folder(self.uid)}/"
        places = {
            str(file.relative_to(record.spool.root))
            for file in (*record.files("studies"), *record.files("results"))
        }
        return {one for one in places if one.startswith((folder, *results))}


def _folder(uid: str) -> str:
    return study_place(Receipt(0, "0" * 16, "0" * 8), uid).split("/")[1]


def retention(
    reception: Reception,
    settings: RetentionSettings = MONTH,
    *,
    at: datetime = LONG_AFTER,
    **options: Any,
) -> Retention:
    """Return a retention at a point of time."""
    return Retention(reception.spool, reception.database, settings, clock=lambda: at, **options)
