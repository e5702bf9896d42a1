"""A retention that is killed at any point, and files that it cannot delete."""

import shutil
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kept_studies import LONG_AFTER, Kept, retention
from node_factory import FOR_PRESENTATION, NOW, Reception
from scenes import MOSTLY_IN_POSTGRESQL, SWITCHES, Action, Scene, Scenes

from dicom_node.facts.commitment_request import Asked, Reference
from dicom_node.spool.files import removal
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.proof.sender_requests import copies_of, enter_commitment
from dicom_node.studies.ledger.removal.removing import mark_study
from dicom_node.studies.ledger.site_tables import CommitmentItem
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject, Study
from dicom_node.studies.operator_actions import retry_study

UID = "1.2.826.0.1.3680043.8.498.81"


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


class Countdown:
    """Kills at the n-th step that leaves a trace."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def before(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **named: Any) -> Any:
            if not self.left:
                raise Killed
            self.left -= 1
            return act(*arguments, **named)

        return stepped


class DoomedDatabase(Database):
    """A ledger whose process is killed before a commit."""

    def __init__(self, database: Database, countdown: Countdown) -> None:
        self._inner, self._countdown = database, countdown

    def __getattribute__(self, name: str) -> Any:
        inner = object.__getattribute__(self, "_inner")
        if name != "writing":
            return getattr(inner, name)
        countdown = object.__getattribute__(self, "_countdown")

        @contextmanager
        def writing() -> Any:
            with inner.writing() as session:
                yield session
                countdown.before(lambda: None)()

        return writing


def rows(reception: Reception) -> list[tuple[Any, ...]]:
    return [
        *((row.state, row.place, row.removed_at) for row in reception.instances()),
        *((row.place, row.removed_at) for row in reception.rows(ResultObject)),
        *((row.removed_at, row.removed_because) for row in reception.rows(Study)),
    ]


def test_retention_killed_at_any_step_ends_like_one_that_was_not(
    reception: Reception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for steps in range(100):
        uid = f"{UID}.{steps}"
        kept = Kept(reception, uid).deliver()
        countdown = Countdown(steps)
        doomed = retention(reception)
        doomed._database = DoomedDatabase(reception.database, countdown)
        with monkeypatch.context() as patched:
            for module, name in ((removal.os, "unlink"), (removal.os, "fsync")):
                patched.setattr(module, name, countdown.before(getattr(module, name)))
            patched.setattr(shutil, "rmtree", countdown.before(shutil.rmtree))
            patched.setattr(removal.os, "rmdir", countdown.before(removal.os.rmdir))
            try:
                doomed.step()
            except Killed:
                is_killed = True
            else:
                is_killed = False
        _one_truth(reception, kept)

        retention(reception).step()

        assert kept.files() == set()
        if not is_killed:
            break
    assert steps > 6
    assert {row.state for row in reception.instances()} == {InstanceState.REMOVED}
    assert {row.place for row in (*reception.instances(), *reception.rows(ResultObject))} == {""}
    assert all(row.removed_at for row in reception.rows(ResultObject))


def _one_truth(reception: Reception, kept: Kept) -> None:
    """Everything that is there according to the ledger is there."""
    study = kept.row
    for row in reception.instances():
        if row.study_id == study.id and row.state is InstanceState.REGISTERED:
            assert study.removed_at is None
            assert reception.spool.file(row.place).is_file()


def test_file_that_cannot_be_deleted_is_told_once_and_holds_nobody_up(
    reception: Reception, log_lines: list[dict[str, Any]], tmp_path: Path
) -> None:
    planted, other = Kept(reception, f"{UID}.1").deliver(), Kept(reception, f"{UID}.2").deliver()
    folder = (reception.spool.root / min(planted.files(), key=lambda one: one[0] == "r")).parent
    outside = tmp_path / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)
    keeping = retention(reception)

    for _ in range(3):
        keeping.step(at_once=True)

    assert other.files() == set()
    assert len(list(outside.iterdir())) == 2
    told = [line for line in log_lines if line["event"] == "removal_failed"]
    assert len(told) == 2
    folder.unlink()
    outside.rename(folder)
    keeping.step(at_once=True)
    assert planted.files() == set()


def test_replaced_file_whose_folder_is_a_link_does_not_stop_the_registrar(
    reception: Reception, tmp_path: Path
) -> None:
    kept = Kept(reception, UID)
    place = reception.instances()[0].place
    with reception.database.writing() as session:
        row = session.merge(reception.instances()[0])
        row.state = InstanceState.REPLACED
    folder = reception.spool.file(place).parent
    folder.rename(tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")

    for image in kept.images[:1]:
        image.SOPInstanceUID, image.StudyInstanceUID = "1.2.3.4.5", "1.2.3.4"
        arrived = reception.receive(image)

    assert arrived is not None
    assert arrived.state is InstanceState.REGISTERED
    assert len(list((tmp_path / "outside").iterdir())) == 2


def mark(scenes: Scenes, kept: Kept) -> Action:
    """Return the transaction that decides to remove a study."""
    study_id = kept.row.id
    return scenes.writing(
        lambda session: mark_study(
            session, study_id, confirming=(), finished_before=LONG_AFTER, because="its age", at=NOW
        )
    )


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_study_that_is_retried_while_it_is_removed_is_one_of_both(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        reception = scenes.reception()
        kept = Kept(reception, UID).deliver()

        def retry() -> Any:
            with scenes.database.writing() as session:
                try:
                    return retry_study(session, UID, at=NOW)
                except Exception as error:  # noqa: BLE001  the check looks at it
                    return error

        def check(removed: Any, retried: Any) -> None:
            analyses = scenes.all(Analysis)
            images = {row.state for row in scenes.all(Instance)}
            if removed:
                assert images == {InstanceState.REMOVED}
                assert "were removed" in str(retried)
                assert len(analyses) == 1
            else:
                assert images == {InstanceState.REGISTERED}
                assert len(analyses) == 2
                assert len([one for one in kept.files() if one.startswith("studies")]) == 2

        return (mark(scenes, kept), retry), check

    scenes.play(scene, switches=switches)


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_image_is_not_removed_and_promised_at_once(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        reception = scenes.reception()
        kept = Kept(reception, UID).deliver()
        asked = Asked(
            transaction_uid="1.2.3",
            calling_ae_title="SCANNER",
            called_ae_title="MAMMOCLIP",
            references=(Reference(FOR_PRESENTATION, f"{UID}.0"),),
        )

        def commit() -> None:
            with scenes.database.reading() as session:
                places = [one.place for one in copies_of(session, asked.references)]
            there = [one for one in places if reception.spool.file(one).is_file()]
            with scenes.database.writing() as session:
                enter_commitment(session, asked, is_there=there, at=NOW)

        def check(removed: Any, _: None) -> None:
            (item,) = scenes.all(CommitmentItem)
            assert (item.failure_reason is None) == (removed is None)
            retention(reception).delete_marked()
            assert len(kept.files()) == (0 if removed else 3)

        return (mark(scenes, kept), commit), check

    scenes.play(scene, switches=switches)
