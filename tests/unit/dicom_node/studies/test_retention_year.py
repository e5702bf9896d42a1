"""A year of retention by a fake clock: archives go away, confirm late, lose what they took.

Images are promised to their senders, further bundles look at them, late ones come, and the disk
runs full: what is undelivered, unconfirmed, promised or in use stays all the same.

What may be removed is decided here a second time, from what was done to each study.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from node_factory import (
    NOW,
    Reception,
    analysis_row,
    instance_row,
    made_result,
    study_row,
)
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.shadows import DONE, RUNNING, begin_shadows
from dicom_node.studies.ledger.site_tables import ShadowAnalysis
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    Event,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, ResultObject, Study
from dicom_node.studies.ledger.transitions import apply
from dicom_node.studies.operator_actions import retry_study
from dicom_node.studies.retention import Retention

DESTINATIONS = ("archive", "workstation")
REPORTING = "webhook"
"""Takes the results of some studies; messages of HL7 and FHIR are deliveries just the same."""
STRICT = "registry"
"""A destination that is set to confirm what it has accepted: it does so late, or never."""
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Noted:
    """What was done to one study, as a person would note it."""

    uid: str
    files: list[Path]
    waits_for: set[str] = field(default_factory=set)
    """Destinations that do not have its results yet."""
    finished_at: datetime | None = None
    """When the last destination took them; None if one has not, or nothing was ever analysed."""
    refused: bool = False
    confirmed_at: datetime | None = None
    """When the destination that is set to confirm does so; None if it did not take them."""
    needed_until: dict[str, datetime] = field(default_factory=dict)
    """For what its files are needed although everything is delivered, and until when."""
    is_gone: bool = False

    @property
    def are_there(self) -> bool:
        there = {file.is_file() for file in self.files}
        assert len(there) == 1, "a study is removed as a whole"
        return there.pop()

    def is_needed(self, now: datetime) -> bool:
        if self.finished_at is None or self.needed_until:
            return True
        return self.confirmed_at is not None and self.confirmed_at > now


class Site:
    """A site whose days are played one after the other."""

    def __init__(
        self,
        reception: Reception,
        *,
        studies_a_day: int,
        kept_days: int,
        seed: int,
        longest_away: int = 45,
        befalls: float = 0.004,
    ) -> None:
        self.reception = reception
        self.studies_a_day = studies_a_day
        self.kept_days = kept_days
        self.longest_away = longest_away
        self.befalls = befalls
        self.chance = random.Random(seed)
        self.now = NOW
        self.studies: list[Noted] = []
        self.away: dict[str, int] = {}
        self.removed = 0
        self.is_full = False
        self.retention = Retention(
            reception.spool,
            reception.database,
            RetentionSettings(days=kept_days, free_percent=10),
            clock=lambda: self.now,
            confirming={STRICT},
            free_space=lambda _: (0 if self.is_full else 10**12, 10**12),
        )

    def play(self, days: int) -> None:
        for _ in range(days):
            self.now += timedelta(days=1)
            for name in DESTINATIONS:
                if self.chance.random() < 0.05:
                    self.away[name] = self.chance.randint(1, self.longest_away)
                self.away[name] = max(self.away.get(name, 0) - 1, 0)
            with self.reception.database.writing() as session:
                for _ in range(self.studies_a_day):
                    self._receive(session)
                for study in self.studies:
                    if not study.is_gone:
                        self._go_on(session, study)
                        self._befall(session, study)
            self.is_full = self.chance.random() < 0.03
            self._evening()

    def _receive(self, session: Session) -> None:
        uid = f"1.2.3.{len(self.studies)}"
        row = study_row(session, uid, last_received_at=self.now, first_received_at=self.now)
        spool = self.reception.spool
        folder = spool.root / "studies" / f"{len(self.studies):032x}"
        folder.mkdir(mode=0o700)
        files = []
        for number in range(2):
            file = folder / f"{number}.dcm"
            file.write_bytes(b"an image")
            place = str(file.relative_to(spool.root))
            instance_row(session, row, place=place, sop_instance_uid=f"{uid}.{number}")
            files.append(file)
        study = Noted(uid=uid, files=files)
        self.studies.append(study)
        fate = self.chance.random()
        if fate < 0.02:
            analysis_row(session, row, state=AnalysisState.FAILED, finished_at=self.now)
        elif fate < 0.03:
            row.remark = "1 of 2 images were corrected to another patient"
        elif fate < 0.04:
            analysis_row(session, row, state=AnalysisState.CANCELLED, finished_at=self.now)
        elif fate < 0.05:
            analysis_row(session, row, due_at=self.now)
        else:
            self._analyse(session, row, study, is_strict=fate < 0.08)

    def _analyse(self, session: Session, row: Study, study: Noted, *, is_strict: bool) -> None:
        analysis = analysis_row(session, row, due_at=self.now, created_at=self.now)
        result = self.reception.spool.root / f"results/{analysis.id}/0/0.dcm"
        result.parent.mkdir(parents=True)
        result.write_bytes(b"a result")
        place = str(result.relative_to(self.reception.spool.root))
        to = (*DESTINATIONS, STRICT) if is_strict else DESTINATIONS
        if self.chance.random() < 0.1:
            to = (*to, REPORTING)
        study.waits_for = set(to)
        study.files.append(result)
        outcomes.finish_analysis(
            session,
            self._claim(session, analysis),
            findings="{}",
            bundle="",
            results=[made_result(place=place)],
            destinations=to,
            at=self.now,
        )

    def _claim(self, session: Session, work: Analysis | Delivery) -> Claim:
        """Claim this very work: a worker begins what is most urgent."""
        apply(session, work, Event.CLAIM, at=self.now)
        return Claim(id=work.id, version=work.version, attempt=1, holder="host:1")

    def _go_on(self, session: Session, study: Noted) -> None:
        """Deliver what waits, or have it refused; an operator comes back to some of that."""
        if study.refused and self.chance.random() < 0.02:
            retry_study(session, study.uid, at=self.now)
            study.refused = False
        for name in sorted(study.waits_for):
            if self.away.get(name) or study.refused:
                continue
            delivery = self._delivery(session, study, name)
            if delivery.state is not DeliveryState.DUE:
                continue
            held = self._claim(session, delivery)
            if self.chance.random() < 0.01:
                end = self.chance.choice([outcomes.refuse_delivery, outcomes.expire_delivery])
                end(session, held, reason="it refuses", at=self.now)
                study.refused = True
                continue
            outcomes.finish_delivery(session, held, at=self.now)
            study.waits_for.discard(name)
            if name == STRICT:
                days = self.chance.choice([3, 20, 90])
                is_late = self.chance.random() < 0.7
                study.confirmed_at = self.now + timedelta(days) if is_late else NEVER
        if study.confirmed_at == self.now:
            delivery = self._delivery(session, study, STRICT)
            apply(session, delivery, Event.CONFIRM, at=self.now, proof_due_at=None)
        is_analysed = len(study.files) > 2
        if is_analysed and not study.waits_for and not study.finished_at:
            study.finished_at = self.now

    def _befall(self, session: Session, study: Noted) -> None:
        """Let a study that is delivered be needed again, or what needed it come to its end."""
        for what, until in tuple(study.needed_until.items()):
            if until <= self.now:
                del study.needed_until[what]
                self._need(session, study, what, ends=True)
        if study.finished_at is None or self.chance.random() > self.befalls:
            return
        what = self.chance.choice(["promise", "shadow", "coming", "open", "missing"])
        if what == "missing":
            self._lose(session, study)
        elif what not in study.needed_until:
            ends = what != "promise" or self.chance.random() < 0.7
            days = timedelta(self.chance.randint(1, 60))
            study.needed_until[what] = self.now + days if ends else NEVER
            self._need(session, study, what, ends=False)

    def _need(self, session: Session, study: Noted, what: str, *, ends: bool) -> None:
        of_study = select(Study.id).where(Study.study_instance_uid == study.uid)
        images = update(Instance).where(Instance.study_id.in_(of_study))
        if what == "promise":
            moment = {"archived_at" if ends else "committed_at": self.now}
            session.execute(images.values(**moment))
        elif what == "coming":
            state = InstanceState.REGISTERED if ends else InstanceState.RECEIVED
            session.execute(images.values(state=state))
        elif what == "open":
            state = StudyState.SETTLED if ends else StudyState.OPEN
            query = update(Study).where(Study.study_instance_uid == study.uid)
            session.execute(query.values(state=state))
        else:
            analysis = select(Analysis.id).where(Analysis.study_id.in_(of_study))
            analysis_id = session.scalars(analysis).one()
            begin_shadows(session, analysis_id, ["next"], at=self.now)
            session.flush()
            shadows = update(ShadowAnalysis).where(ShadowAnalysis.analysis_id == analysis_id)
            session.execute(shadows.values(state=DONE if ends else RUNNING))

    def _lose(self, session: Session, study: Noted) -> None:
        """Let an archive turn out not to hold what it has accepted: it is sent again."""
        delivery = self._delivery(session, study, DESTINATIONS[0])
        again = {"due_at": self.now, "created_at": self.now, "finished_at": None}
        apply(session, delivery, Event.MISS, at=self.now, **again)
        study.waits_for.add(DESTINATIONS[0])
        study.finished_at = None

    def _delivery(self, session: Session, study: Noted, name: str) -> Delivery:
        return (
            session.query(Delivery)
            .join(Analysis)
            .join(Study)
            .filter(Study.study_instance_uid == study.uid, Delivery.destination == name)
            .one()
        )

    def _evening(self) -> None:
        while self.retention.step(at_once=True) or self.retention.is_amid_round:
            pass
        for study in self.studies:
            if study.is_gone:
                assert not study.are_there
            elif study.is_needed(self.now):
                assert study.are_there, f"{study.uid} was still needed"
            else:
                assert study.finished_at is not None
                is_old = self.now - study.finished_at >= timedelta(self.kept_days)
                study.is_gone = is_old or self.is_full
                assert study.are_there != study.is_gone, f"{study.uid} could have been removed"
        self.removed = sum(study.is_gone for study in self.studies)


def check_at_the_end(site: Site) -> None:
    rows = site.reception.rows
    gone = {study.uid for study in site.studies if not study.are_there}
    assert {row.study_instance_uid for row in rows(Study) if row.removed_at} == gone
    assert len(rows(Study)) == len(site.studies)
    for row in rows(Instance):
        assert (row.state is InstanceState.REMOVED) == (row.place == "")
    places = {row.place for row in rows(ResultObject)} - {""}
    assert len(places) == sum(len(one.files) > 2 and one.are_there for one in site.studies)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_year_of_retention_removes_what_is_delivered_and_nothing_else(
    reception: Reception,
) -> None:
    is_sqlite = reception.database.engine.dialect.name == "sqlite"
    site = Site(reception, studies_a_day=40 if is_sqlite else 10, kept_days=30, seed=2026)

    site.play(days=365)

    kept = sum(study.are_there for study in site.studies)
    print(f"\n{len(site.studies)} studies, {site.removed} removed, {kept} kept")  # noqa: T201
    assert site.removed > 0.7 * len(site.studies)
    check_at_the_end(site)


def test_month_of_retention_removes_what_is_delivered_and_nothing_else(
    reception: Reception,
) -> None:
    site = Site(reception, studies_a_day=2, kept_days=6, seed=1, longest_away=8, befalls=0.03)

    site.play(days=30)

    assert site.removed > 15
    assert any(study.refused for study in site.studies)
    assert any(study.needed_until for study in site.studies)
    check_at_the_end(site)
