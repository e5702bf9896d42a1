"""A node before a worklist server: what tests of workitems share."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from node_factory import (
    FOR_PRESENTATION,
    NOW,
    PATIENT_ID,
    STUDY_UID,
    Reception,
    claimed,
    finished,
    made_result,
    mammogram,
)
from sqlalchemy import select
from worklist_double import Json, Worklist, workitem

from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.procedure_steps.tables import Workitem
from dicom_node.studies.ledger.tables import Analysis, ResultObject, Study
from dicom_node.studies.settling import Patience, settle_if_complete
from dicom_node.workitems.performer import Performer

CODE = {"value": "MAMMO-AI", "scheme": "99TEST", "meaning": "Mammography analysis"}
STUDY = f"{STUDY_UID}.50"
NOTHING = Patience(idle=timedelta(0), grace=timedelta(0))
LATER = NOW + timedelta(days=3650)


def uid(number: int = 1) -> str:
    """Return the UID of a workitem."""
    return f"{STUDY_UID}.900.{number}"


def images_of(study: str = STUDY, **attributes: Any) -> list[Any]:
    """Return two images of a study."""
    return [
        mammogram("CC", side, StudyInstanceUID=study, SOPInstanceUID=f"{study}.1.{side == 'L':d}",
                  **attributes)
        for side in "RL"
    ]  # fmt: skip


def item(number: int = 1, study: str = STUDY, **options: Any) -> Json:
    """Return a workitem for the two images of a study."""
    images = [(FOR_PRESENTATION, one.SOPInstanceUID) for one in images_of(study)]
    return workitem(uid(number), study, **{"images": images, "patient_id": PATIENT_ID, **options})


@dataclass
class Site:
    """A node with a real spool and ledger before a worklist; what workers do is done by `work`."""

    reception: Reception
    worklist: Worklist
    options: dict[str, Any] = field(default_factory=dict)
    destinations: list[dict[str, Any]] = field(
        default_factory=lambda: [{"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1"}]
    )

    @property
    def database(self) -> Database:
        return self.reception.database

    @property
    def values(self) -> dict[str, Any]:
        """The settings, as JSON can hold them."""
        ups = {
            "url": self.worklist.url,
            "workitem_codes": [CODE],
            "seconds": 0.001,
            "progress_seconds": 0.000001,
            **self.options,
        }
        return {
            "spool": str(self.reception.spool.root),
            "receive": {"minimum_free_bytes": 1},
            "ledger": {"url": str(self.database.engine.url)},
            "destinations": self.destinations,
            "ups": ups,
        }

    @property
    def settings(self) -> Settings:
        return Settings(**self.values)

    def performer(self, **options: Any) -> Performer:
        return Performer(self.settings, self.reception.spool, self.database, **options)

    def receive(self, study: str = STUDY, **attributes: Any) -> None:
        for image in images_of(study, **attributes):
            self.reception.receive(image)

    def settle(self, study: str = STUDY, at: datetime = LATER) -> None:
        with self.database.writing() as session:
            row = session.scalars(select(Study).where(Study.study_instance_uid == study)).one()
            settle_if_complete(session, row.id, sent=[], patience=NOTHING, at=at, due_at=NOW)

    def analyse(self, study: str = STUDY) -> None:
        """Do what a worker does: analyse, and deliver nothing yet."""
        with self.database.writing() as session:
            finished(session, self.analysis(session, study), made_result(), made_result())

    def deliver(self, study: str = STUDY) -> None:
        """Do what a worker does: have the archive accept everything."""
        with self.database.writing() as session:
            analysis = self.analysis(session, study)
            for delivery in outcomes_of(session, analysis):
                held = claimed(session, delivery)
                results = select(ResultObject).where(ResultObject.analysis_id == analysis.id)
                for one in session.scalars(results).all():
                    outcomes.record_outcome(
                        session, held, one.id, outcome="accepted", status="0x0000", at=NOW
                    )
                outcomes.finish_delivery(session, held, at=NOW)

    def work(self, study: str = STUDY) -> None:
        """Receive, settle, analyse and deliver a study, as node and workers do."""
        self.receive(study)
        self.settle(study)
        self.analyse(study)
        self.deliver(study)

    def analysis(self, session: Any, study: str = STUDY) -> Analysis:
        query = select(Analysis).join(Study).where(Study.study_instance_uid == study)
        found: Analysis = session.scalars(query.order_by(Analysis.revision.desc())).first()
        return found

    def row(self, number: int = 1) -> Workitem:
        with self.database.reading() as session:
            query = select(Workitem).where(Workitem.workitem_uid == uid(number))
            return session.scalars(query).one()

    def rows(self) -> list[Workitem]:
        found: list[Workitem] = self.reception.rows(Workitem)
        return found


def outcomes_of(session: Any, analysis: Analysis) -> list[Any]:
    """Return the deliveries of an analysis."""
    from dicom_node.studies.ledger.tables import Delivery

    return list(session.scalars(select(Delivery).where(Delivery.analysis_id == analysis.id)))
