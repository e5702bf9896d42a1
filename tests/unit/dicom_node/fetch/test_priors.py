"""Former mammograms come with a study, are kept as such, and are analysed only on request."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from archive_double import STORED, ArchiveDouble
from node_factory import PATIENT_ID, STUDY_UID, Reception, four_views
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import select

from dicom_node.fetch.dicom_archive import DicomArchive
from dicom_node.fetch.found_objects import FoundStudy
from dicom_node.fetch.held_by_the_node import held_now, received_of
from dicom_node.fetch.new_studies import StudiesByDate
from dicom_node.fetch.pace import Pace
from dicom_node.fetch.polling import ArchivePoll
from dicom_node.fetch.priors import Priors
from dicom_node.fetch.retrospective_run import Fate, Fetched, RetrospectiveRun
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.receive.files.file_intake import FileIntake, file_intake
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study
from dicom_node.studies.operator_actions import judge_again
from dicom_node.studies.settling import Patience, settle_if_complete

CLASSES = frozenset(STORED)
DAYS = {0: "20260301", 1: "20250210", 2: "20240105", 3: "20100101", 4: "20260301", 5: "20270101"}


def uid_of(number: int) -> str:
    return f"{STUDY_UID}.{number}"


def images_of(number: int, patient: str = PATIENT_ID) -> list[Dataset]:
    made = four_views(
        StudyInstanceUID=uid_of(number),
        SeriesInstanceUID=f"{uid_of(number)}.1",
        StudyDate=DAYS[number],
        PatientID=patient,
    )
    for image in made:
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


@pytest.fixture
def reception(tmp_path: Path, migrated_ledger: Path) -> Iterator[Reception]:
    spool = Spool(tmp_path / "spool")
    (spool.root / "ledger.sqlite").write_bytes(migrated_ledger.read_bytes())
    with closing(Database(f"sqlite:///{spool.root / 'ledger.sqlite'}")) as database:
        yield Reception(spool, database, ReceiveSettings(minimum_free_bytes=1))


Fetch = Callable[..., Fetched]


@pytest.fixture
def fetch(reception: Reception) -> Iterator[Fetch]:
    held = [one for number in range(5) for one in images_of(number)]
    held += images_of(5, "SOMEBODY")

    def opened(*, is_prior: bool = False) -> AbstractContextManager[FileIntake]:
        return file_intake(
            reception.settings, reception.spool, origin="run", calling_ae_title="RUN",
            is_prior=is_prior,
        )  # fmt: skip

    with ArchiveDouble(held).running() as double:
        archive = DicomArchive(double.destination(), calling_ae_title="MAMMOCLIP")

        def run(number: int = 0, *, count: int = 2, years: int = 5, dry: bool = False) -> Fetched:
            def known(study: str, wanted: list[str]) -> set[str]:
                with reception.database.reading() as session:
                    return received_of(session, study, wanted, with_priors=False)

            fetching = RetrospectiveRun(
                archive,
                held=known,
                open_intake=None if dry else opened,
                classes=CLASSES,
                pace=Pace(),
                priors=Priors(
                    count=count,
                    years=years,
                    held=held_now(reception.database, reception.spool),
                    open_intake=None if dry else partial(opened, is_prior=True),
                ),
            )
            fetched = fetching.fetch([WantedStudy(line=2, study_instance_uid=uid_of(number))])
            reception.registrar.register_all()
            return fetched

        yield run


def settle(reception: Reception) -> None:
    at, none = datetime.now(UTC), timedelta(0)
    with reception.database.writing() as session:
        for study in session.scalars(select(Study)).all():
            patience = Patience(idle=none, grace=none)
            settle_if_complete(session, study.id, sent=(), patience=patience, at=at)


def told(fetched: Fetched) -> list[tuple[str, Fate, bool]]:
    return [(one.study_instance_uid, one.fate, one.is_prior) for one in fetched.studies]


def test_newest_former_studies_come_with_a_study_and_are_not_analysed(
    reception: Reception, fetch: Fetch
) -> None:
    fetched = fetch()
    settle(reception)

    assert told(fetched) == [
        (uid_of(0), Fate.RETRIEVED, False),
        (uid_of(1), Fate.RETRIEVED, True),
        (uid_of(2), Fate.RETRIEVED, True),
    ]
    priors = [row for row in reception.instances() if row.reason == "prior"]
    assert len(priors) == 8
    assert {row.state for row in priors} == {"set_aside"}
    (analysis,) = reception.rows(Analysis)
    assert analysis.study_id == reception.study(uid_of(0)).id


def test_what_is_too_old_of_the_same_day_or_of_somebody_else_is_no_former_study(
    fetch: Fetch,
) -> None:
    assert {uid for uid, _, is_prior in told(fetch(count=9)) if is_prior} == {uid_of(1), uid_of(2)}
    assert [uid for uid, _, is_prior in told(fetch(1, count=9, years=1)) if is_prior] == []


def test_former_studies_are_fetched_once(reception: Reception, fetch: Fetch) -> None:
    fetch()

    again = fetch()

    assert [fate for _, fate, _ in told(again)] == [Fate.THERE] * 3
    assert len(reception.instances()) == 12


def test_former_study_that_is_on_the_list_itself_is_analysed(
    reception: Reception, fetch: Fetch
) -> None:
    fetch()

    fetched = fetch(1, count=0)
    settle(reception)

    assert told(fetched)[0] == (uid_of(1), Fate.RETRIEVED, False)
    assert len(reception.rows(Analysis)) == 2


def test_person_can_have_a_former_study_analysed(reception: Reception, fetch: Fetch) -> None:
    fetch(count=1)
    settle(reception)

    with reception.database.writing() as session:
        judge_again(session, uid_of(1), at=datetime.now(UTC))
    reception.registrar.register_all()
    reception.registrar.register_all()
    settle(reception)

    due = [row for row in reception.rows(Analysis) if row.state is AnalysisState.DUE]
    assert reception.study(uid_of(1)).id in {row.study_id for row in due}


def test_dry_run_counts_former_studies_too(reception: Reception, fetch: Fetch) -> None:
    assert [fate for _, fate, _ in told(fetch(dry=True))] == [Fate.TO_RETRIEVE] * 3
    assert reception.instances() == []


@pytest.mark.parametrize(
    ("patient", "day"), [("", "20260101"), ("A*", "20260101"), ("A\\B", "20260101"), ("A", "x")]
)
def test_study_of_an_unclear_patient_or_day_has_no_former_ones(patient: str, day: str) -> None:
    priors = Priors(count=1, years=5, held=lambda *_: (), open_intake=None)

    assert priors.wanted(FoundStudy("1.2", patient, 4, day), line=2) is None


def test_poll_fetches_former_studies_by_the_same_setting(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception.database, "now", lambda: datetime(2026, 3, 2, 12, tzinfo=UTC))
    with ArchiveDouble([one for number in range(4) for one in images_of(number)]).running() as pacs:
        destination = pacs.destination()
        settings = Settings(
            destinations=[destination], poll=[{"archive": destination.name}],
            receive={"minimum_free_bytes": 1}, fetch={"priors": 1},
        )  # fmt: skip
        archive = DicomArchive(destination, calling_ae_title="MAMMOCLIP")
        poll = ArchivePoll(
            settings.poll[0], archive, StudiesByDate(archive, overlap_days=3), settings=settings,
            spool=reception.spool, database=reception.database, stopping=threading.Event(),
        )  # fmt: skip
        poll.step()
    reception.registrar.register_all()

    with reception.database.reading() as session:
        found = {
            study.study_instance_uid: sorted(
                row.reason
                for row in session.scalars(select(Instance).where(Instance.study_id == study.id))
            )
            for study in session.scalars(select(Study))
        }
    assert found == {uid_of(0): [""] * 4, uid_of(1): ["prior"] * 4}
