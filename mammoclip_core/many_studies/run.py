"""One run over many studies: find them, have processes answer them, write one table."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

from mammoclip_core.errors import ComputingError, CoreError
from mammoclip_core.findings import ImageStatus
from mammoclip_core.many_studies.engine_process import EngineOrder, EngineProcess, Failed, Ready
from mammoclip_core.many_studies.finding_files import NoImagesError, files_in
from mammoclip_core.many_studies.journal import Journal, JournalError, StudyToDo, as_text, packed
from mammoclip_core.many_studies.tables import check_table, write_table

STUDIES_OF_A_UNIT: Final = 8
"""Studies that a process is sent at once, and that a killed run loses of each process at most."""

MOST_ATTEMPTS: Final = 3
"""Processes that one study may end before it is answered with that."""


class NoStudiesError(CoreError):
    """A path does not exist, or the table is there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a finished run has written.

    Attributes
    ----------
    unused : files that were passed over, when the studies were looked for or answered
    resumed_at : studies that an earlier run had done
    answered, failed : images with an answer, and those without one, for a reason that the table has
    """

    studies: int
    unused: int
    resumed_at: int
    answered: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Who is told how a run goes on.

    Attributes
    ----------
    on_file : called with the number of files looked at so far
    on_begin : called with the number of studies, and of those that are done
    on_study : called each time that more studies are done, with their number
    """

    on_file: Callable[[int], object] = lambda _: None
    on_begin: Callable[[int, int], object] = lambda *_: None
    on_study: Callable[[int], object] = lambda _: None


def analyze_many(
    paths: Sequence[Path],
    out: Path,
    orders: Sequence[EngineOrder],
    progress: Progress,
) -> RunSummary:
    """Analyse the studies of folders and lists, and write one table of all rows.

    What is done is kept in ``OUT.unfinished`` beside the table until that is written: the same
    call after a kill, of whatever process at whatever moment, goes on from there. Memory does not
    grow with the number of studies.

    Parameters
    ----------
    orders : one a process; they differ in their device alone

    Raises
    ------
    CoreError
        The table cannot be written, a path does not exist, nothing is found, an engine does not
        load, or what an earlier run has left is of other settings.
    OSError
        The disk is full or cannot be written to.
    """
    check_table(out)
    gone = next((path for path in paths if not path.exists()), None)
    if gone is not None:
        raise NoStudiesError(f"{gone}: there is no such file or folder")
    folder = out.with_name(f"{out.name}.unfinished")
    if out.exists() and not folder.exists():
        raise NoStudiesError(f"{out} is there already: delete it, or choose another --out")
    try:
        return _run(paths, out, folder, orders, progress)
    except sqlite3.Error as error:
        raise JournalError(
            f"{folder} cannot be written ({error}): run again when it can"
        ) from error


def _run(
    paths: Sequence[Path],
    out: Path,
    folder: Path,
    orders: Sequence[EngineOrder],
    progress: Progress,
) -> RunSummary:
    with Journal(folder) as journal:
        journal.agree(_facts(paths, orders[0]))
        journal.require_same_working_folder()
        engines = Engines(orders, journal)
        try:
            engines.start()
            for count in journal.keep_files(files_in(paths)):
                progress.on_file(count)
            if not journal.studies and not journal.unused:
                journal.delete()
                raise NoImagesError
            resumed_at = journal.done
            progress.on_begin(journal.studies, resumed_at)
            engines.answer(progress.on_study)
        finally:
            engines.close()
        counts: Counter[str] = Counter()
        rows = ({**row, **engines.identity} for row in _counted(journal.rows(), counts))
        write_table(rows, out, folder / f"part{out.suffix}")
        summary = RunSummary(
            studies=journal.studies,
            unused=counts["passed_over"],
            resumed_at=resumed_at,
            answered=counts[ImageStatus.ANALYSED],
            failed=counts[ImageStatus.FAILED],
        )
        journal.delete()
    return summary


def _counted(rows: Iterator[dict[str, Any]], counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """Pass rows on, and count images and files by their status; rows of an image are together."""
    last = None
    for row in rows:
        if row["level"] == "image":
            image = (row["study"], row.get("file"), row.get("frame"))
            counts[row["status"]] += image != last
            last = image
        elif row["level"] == "file":
            counts[row["status"]] += 1
        yield row


def _facts(paths: Sequence[Path], order: EngineOrder) -> dict[str, str]:
    return {
        "list of paths": "\n".join(as_text(str(path.absolute())) for path in paths),
        "--tomosynthesis": str(order.tomosynthesis),
        "--generated-2d": str(order.generated_2d),
    }


class Engines:
    """The processes of a run; one that dies is replaced, and its studies come again alone."""

    def __init__(self, orders: Sequence[EngineOrder], journal: Journal) -> None:
        self._orders = orders
        self._journal = journal
        self._processes: list[EngineProcess] = []
        self.identity: dict[str, str] = {}

    def start(self) -> None:
        """Load the engines, and compare what they compute with what an earlier run did.

        Raises
        ------
        ComputingError
            One does not load.
        JournalError
            Another bundle, device or setting would give other rows.
        """
        self._processes = [EngineProcess(order) for order in self._orders]
        for process in self._processes:
            self._expect_ready(process)

    def _expect_ready(self, process: EngineProcess) -> None:
        answer = process.receive()
        if not isinstance(answer, Ready):
            reason = answer.reason if isinstance(answer, Failed) else "it answers out of turn"
            raise ComputingError(f"device {process.order.device}: {reason}")
        self.identity = answer.identity
        self._journal.agree(
            {name.replace("_", " "): text for name, text in answer.identity.items()}
        )

    def answer(self, on_study: Callable[[int], object]) -> None:
        """Have all studies answered that have no rows."""
        self._answer(self._journal.to_do(STUDIES_OF_A_UNIT), on_study)
        # What ended a process comes again, each study alone, so that the others get their answer.
        for _ in range(MOST_ATTEMPTS):
            self._answer(self._journal.to_do(STUDIES_OF_A_UNIT), on_study)

    def _answer(
        self, units: Iterator[tuple[StudyToDo, ...]], on_study: Callable[[int], object]
    ) -> None:
        busy: dict[object, EngineProcess] = {}
        for process in self._processes:
            self._next(process, units, busy)
        while busy:
            for connection in wait(list(busy)):  # type: ignore[arg-type]  # of connections alone
                process = busy.pop(connection)
                answer = process.receive()
                if isinstance(answer, list):
                    self._journal.finish(answer)
                    on_study(len(answer))
                else:
                    reason = answer.reason if isinstance(answer, Failed) else "out of turn"
                    process = self._replaced(process)
                    on_study(self._failed(process.unit, reason))
                self._next(process, units, busy)

    def _next(
        self,
        process: EngineProcess,
        units: Iterator[tuple[StudyToDo, ...]],
        busy: dict[object, EngineProcess],
    ) -> None:
        unit = next(units, None)
        if unit is not None:
            process.send(unit)
            busy[process.connection] = process

    def _replaced(self, process: EngineProcess) -> EngineProcess:
        process.close()
        new = EngineProcess(process.order)
        new.unit = process.unit
        self._processes[self._processes.index(process)] = new
        self._expect_ready(new)
        return new

    def _failed(self, unit: tuple[StudyToDo, ...], reason: str) -> int:
        """Keep that a unit has no answer; return how many studies are thereby done with."""
        self._journal.failed(unit)
        if len(unit) > 1 or self._journal.attempts_of(unit[0]) < MOST_ATTEMPTS:
            return 0
        (study,) = unit
        rows = [
            {
                "study": as_text(study.study),
                "level": "image",
                "file": as_text(name),
                "status": "failed",
                "reason": reason,
            }
            for name, _ in study.files
        ]
        self._journal.finish([(study.number, packed(rows))])
        return 1

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.close()
