"""Sends the canary study the whole way, phase by phase, and names the phase that is broken."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.canary.alone import HeldError, alone
from dicom_node.canary.phantom import FOR_PRESENTATION, phantom_study
from dicom_node.canary.receiver import Receiver, receiving
from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError, NodeError, NotOfferedError
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.send.asking import ObjectToFind
from dicom_node.send.destinations import asker_for
from dicom_node.settings.operation.canary import CANARY_DESTINATION
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import ArchiveDestination, DicomDestination
from dicom_node.spool.draining import draining
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.canary_runs import (
    CanaryFacts,
    SentResult,
    first_scores,
    note_address,
    note_run,
    remove_canary,
    sent_results,
)
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.pauses import Holds, Paused, pauses
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.states import TAKEN, AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    Study,
)

_LOOK_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 1.0


class _BrokenError(NodeError):
    """A phase did not end as it should."""

    reason = "canary"


class CanaryStoppedError(NodeError):
    """The process ends, and what the canary study would have shown is not known."""

    reason = "canary-stopped"


@dataclass
class _Phases:
    """How long each phase took, and the one that runs."""

    clock: Callable[[], float]
    note: Callable[[str], None]
    stopping: threading.Event
    seconds: dict[str, float] = field(default_factory=dict)
    current: str = ""
    keep_turn: Callable[[], None] = lambda: None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.note(name)
        self.keep_turn()
        self.current, began = name, self.clock()
        yield
        self.seconds[name] = self.clock() - began


@dataclass
class _Answer:
    key: str = ""
    scores: str = ""


def run_canary(
    settings: Settings,
    database: Database,
    *,
    note: Callable[[str], None] = lambda _: None,
    stopping: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> CanaryFacts:
    """Send the canary study and follow it; keep how each phase went, and return it.

    The phases: prepare (the former one is removed), receive (C-STORE to the node's listener),
    register, settle, analyse, compare (the scores with those of the first run of this bundle and
    engine), deliver, and arrive: at the node's own receiver, or at the archives that are marked,
    which are asked by C-FIND or QIDO-RS. While a phase is paused, by a person or a stop rule, or
    the node is drained, or another canary study is on its way, the run is held and not
    broken.

    Parameters
    ----------
    note : is told of each phase as it begins
    stopping : ends the run when it is set

    Raises
    ------
    CanaryStoppedError
        It was set; nothing is kept of the run.
    """
    began_at = database.now()
    phases, answer = _Phases(clock, note, stopping or threading.Event()), _Answer()
    broken = reason = ""
    try:
        with _prepared(settings, database, phases) as receiver:
            _follow(settings, database, phases, answer, receiver)
    except CanaryStoppedError:
        raise
    except NodeError as error:
        # What people have paused is no fault of the site.
        broken = "" if isinstance(error, HeldError) else phases.current
        reason = str(error) if broken else f"{phases.current}: {error}"
    run = CanaryFacts(began_at=began_at, seconds=phases.seconds, broken=broken, reason=reason)
    with database.writing() as session:
        note_run(session, run, key=answer.key, scores=answer.scores)
    return run


@contextmanager
def _prepared(settings: Settings, database: Database, phases: _Phases) -> Iterator[Receiver | None]:
    """Remove the former study, and take the results of the next where no archive is marked."""
    with ExitStack() as stack:
        with phases.phase("prepare"):
            phases.keep_turn = stack.enter_context(alone(settings, database))
            _remove_former(settings, database)
            receiver = None
            if any(one.name == CANARY_DESTINATION for one in settings.canary_destinations):
                title = settings.receive.ae_title
                receiver = stack.enter_context(receiving(settings.canary, calling_ae_title=title))
                with database.writing() as session:
                    note_address(session, settings.canary.host, receiver.port)
        yield receiver


def _follow(
    settings: Settings,
    database: Database,
    phases: _Phases,
    answer: _Answer,
    receiver: Receiver | None,
) -> None:
    def wait(fact: Callable[[Session], Any]) -> Any:
        return _wait_for(database, fact, settings.canary.longest_seconds, phases)

    with phases.phase("receive"):
        if (drained := draining(settings.spool)) is not None:
            raise HeldError(drained.in_words())
        _send(settings)
    with phases.phase("register"):
        wait(_study)
    with phases.phase("settle"):
        analysis = wait(_newest_analysis)
    with phases.phase("analyse"):
        title = settings.canary.ae_title
        document = json.loads(wait(lambda session: _findings(session, analysis.id, title)))
    with phases.phase("compare"):
        answer.key, scores = document["settings_sha256"], _scores(document)
        with database.reading() as session:
            first = first_scores(session, answer.key)
        if first is not None and scores != first:
            raise _BrokenError(
                "the scores differ from those of the first canary study with this bundle and "
                "engine: the same images must give the same scores"
            )
        answer.scores = scores
    with phases.phase("deliver"):
        wait(lambda session: _is_delivered(session, analysis.id))
    with phases.phase("arrive"):
        with database.reading() as session:
            sent = sent_results(session, analysis.id)
        if receiver is not None:
            lost = {one.sop_instance_uid for one in sent} - receiver.received
            if lost:
                raise _BrokenError(f"{len(lost)} of {len(sent)} results did not arrive")
            return
        for destination in settings.canary_destinations:
            # Any other has been asked by the node already: its delivery waited for that.
            if destination.confirm == "none" and not destination.dry:
                there = [one for one in sent if one.destination == destination.name]
                _ask(settings, destination, there, phases)


def _remove_former(settings: Settings, database: Database) -> None:
    with database.writing() as session:
        places = remove_canary(session)
    if places is None:
        raise _BrokenError(
            "the former canary study is still in the hands of a worker: see "
            f"'mammoclip-node show {CANARY_STUDY}'"
        )
    spool = Spool(settings.spool)
    for place in places:
        spool.discard(place)


def _send(settings: Settings) -> None:
    receive = settings.receive
    listener = DicomDestination(
        name="listener",
        ae_title=receive.ae_title,
        host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(receive.host, receive.host),  # noqa: S104
        port=receive.port,
        tls=receive.tls,
    )
    images = phantom_study()
    with Deadline() as deadline:
        association = associate(
            listener,
            settings.canary.ae_title,
            [(FOR_PRESENTATION, UNCOMPRESSED[0])],
            deadline=deadline,
            tls=settings.tls,
        )
        with deadline.within(listener.longest_seconds(len(images) * 10**6)):
            if not association.is_established:
                raise _BrokenError("the node's listener accepts no mammograms")
            statuses: list[int | None] = []
            for one in images:
                try:
                    statuses.append(association.send_c_store(one).get("Status"))
                except RuntimeError:  # it has ended, with the answer before or without one
                    statuses.append(None)
            if association.is_established:
                association.release()
    if any(status != 0x0000 for status in statuses):
        words = ", ".join("no answer" if one is None else f"0x{one:04X}" for one in statuses)
        raise _BrokenError(f"the node's listener answered {words}: see the log of the node")


def _ask(
    settings: Settings,
    destination: ArchiveDestination,
    sent: Sequence[SentResult],
    phases: _Phases,
) -> None:
    """Ask an archive for what it has accepted, until it shows all of it."""
    asker = asker_for(destination, calling_ae_title=settings.receive.ae_title, tls=settings.tls)
    objects = [
        ObjectToFind(
            key=number,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            series_instance_uid=one.series_instance_uid,
            study_instance_uid=CANARY_STUDY,
        )
        for number, one in enumerate(sent)
    ]
    give_up_at = phases.clock() + settings.canary.longest_seconds
    while True:
        try:
            missing = sum(not found.is_held for found in asker.ask(objects))
            words = f"{missing} of {len(objects)} results were not found by {asker.name}"
        except (DestinationDownError, NotOfferedError) as error:
            missing, words = len(objects), str(error)
        if not missing:
            return
        if phases.clock() > give_up_at:
            raise _BrokenError(f"{destination.name}: {words}")
        if phases.stopping.wait(_ASK_SECONDS):
            raise CanaryStoppedError("the canary study was left on its way")


def _wait_for(
    database: Database,
    fact: Callable[[Session], Any],
    seconds: float,
    phases: _Phases,
) -> Any:
    give_up_at = phases.clock() + seconds
    while True:
        with database.reading() as session:
            found = fact(session)
            if found:
                return found
            if phases.clock() > give_up_at:
                study = _study(session)
                why = reading.summary(session, study).reason if study is not None else ""
                raise _BrokenError(f"it did not end within {seconds:g} s. {why}".strip())
        if phases.stopping.wait(_LOOK_SECONDS):
            raise CanaryStoppedError("the canary study was left on its way")


def _study(session: Session) -> Study | None:
    return session.scalars(select(Study).where(Study.study_instance_uid == CANARY_STUDY)).first()


def _newest_analysis(session: Session) -> Analysis | None:
    query = select(Analysis).join(Study).where(Study.study_instance_uid == CANARY_STUDY)
    return session.scalars(query.order_by(Analysis.revision.desc()).limit(1)).first()


def _findings(session: Session, analysis_id: int, ae_title: str) -> str | None:
    analysis = session.get_one(Analysis, analysis_id)
    holds = Holds(pauses=pauses(session))
    paused = holds.stop(Analysis) or holds.on(Paused.SENDER, ae_title)
    if analysis.state is AnalysisState.DUE and paused is not None:
        raise HeldError(paused.in_words())
    if analysis.state in {AnalysisState.DUE, AnalysisState.RUNNING}:
        return None
    if analysis.state is not AnalysisState.DONE:
        raise _BrokenError(f"the analysis is {analysis.state.value}: {analysis.reason}")
    return analysis.findings


def _scores(document: dict[str, Any]) -> str:
    """Return every score of every image as text that is equal if they are equal to the bit."""
    images = sorted(document["images"], key=lambda one: str(one["sop_instance_uid"]))
    bad = [one["reason"] for one in images if one["status"] != "analysed"]
    if bad:
        raise _BrokenError(f"{len(bad)} of {len(images)} images were not analysed: {bad[0]}")
    return json.dumps(
        [
            [
                one["sop_instance_uid"],
                [[f["name"], float(f["score"]).hex()] for f in one["findings"]],
            ]
            for one in images
        ]
    )


def _is_delivered(session: Session, analysis_id: int) -> bool:
    rows = session.scalars(select(Delivery).where(Delivery.analysis_id == analysis_id)).all()
    holds = Holds(pauses=pauses(session))
    for row in rows:
        if row.state is DeliveryState.DUE and (held := holds.withheld(row.destination)):
            raise HeldError(held)
        if row.state in {DeliveryState.REFUSED, DeliveryState.EXPIRED, DeliveryState.HELD}:
            raise _BrokenError(f"{row.destination}: {row.state.value}: {row.reason}")
    if not rows:
        raise _BrokenError("it was analysed by a worker that knows no destination for it")
    # Where a destination is asked for what it has accepted, it has shown it too.
    return all(row.state in TAKEN and row.proof_due_at is None for row in rows)
