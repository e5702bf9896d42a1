"""Plays schedules by their seeds, each on an empty ledger and an empty spool."""

import gc
import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from account import complaints
from faults import Faults
from schedule import NeverQuietError, Schedule
from simulated_archive import SimulatedArchive
from simulated_broker import SimulatedBroker
from simulated_disk import SimulatedDisk, simulated_disk
from simulated_ledger import SimulatedDatabase, connection_class
from simulated_site import Site, settings_of, simulated_modules
from stand_in_work import Headers, Image, image_of

from dicom_node.receive.listener import Listener
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.own_spool import own_spool

_AMONG_STEPS = 350
"""Faults come among so many first steps; a schedule without any has about as many."""

_COLLECTED_AFTER = 50
"""Schedules after which Python looks for garbage: in each of them it costs a tenth of the time."""

_FIRST_STARTS = 0.2
"""Share of schedules in which the node starts on an empty spool and an empty ledger."""

_MOST_STEPS = 20_000
_MOST_SECONDS = 300.0


@dataclass
class Played:
    """What came of one schedule.

    Attributes
    ----------
    wrong : a sentence for each thing that must not be
    digest : equal for equal orders of steps
    """

    seed: int
    steps: int
    seconds: float
    digest: str
    faults: list[str]
    wrong: list[str]
    last_steps: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        return "\n".join(
            [
                f"seed {self.seed}: {self.steps} steps, {self.seconds:.1f} simulated seconds",
                *(f"  wrong: {one}" for one in self.wrong),
                *(f"  fault: {one}" for one in self.faults),
                *(f"    {one}" for one in self.last_steps),
                f"  replay: SIMULATION_SEED={self.seed} pytest tests/simulation/test_schedules.py",
            ]
        )


class Simulation:
    """One ledger and one spool, on which schedules are played one after the other."""

    def __init__(self, database: SimulatedDatabase, disk: SimulatedDisk) -> None:
        self.database = database
        self._disk = disk
        self._settings = {count: settings_of(disk.root, archives=count) for count in (1, 2)}
        self._listener = Listener(self._settings[1].receive, Spool(disk.root))
        self._headers = Headers()
        self._new = {"identity.key": bytes(range(32))}
        self._started, self._known = self._first_start()

    def _first_start(self) -> tuple[dict[str, bytes], list[str]]:
        """Start a node once; return the files of the spool then, and what its ledger knows."""
        disk, database = self._disk, self.database
        disk.begin(None, self._new)
        database.begin(None)
        spool = Spool(disk.root)
        with spool.owned():
            number = own_spool(spool, database)
            installation_key(spool, database)
        (row,) = database.rows("SELECT identity, name FROM spools")
        (digest,) = database.rows("SELECT key_digest FROM ledger_identity")
        return disk.content(), [
            "INSERT INTO spools (id, identity, name, coming) "
            f"VALUES ({number}, '{row.identity}', '{row.name}', '')",
            f"UPDATE ledger_identity SET key_digest = '{digest[0]}'",
        ]

    @property
    def dialect(self) -> str:
        """Return the name of the database's kind."""
        return str(self.database.engine.dialect.name)

    def play(self, seed: int, *, kinds: Collection[str] = ()) -> Played:
        """Play one schedule, always the same one for a seed.

        Parameters
        ----------
        kinds : of faults that may happen; by default any
        """
        if seed % _COLLECTED_AFTER == 0:
            gc.collect()
        schedule = Schedule(seed)
        settings = self._settings[schedule.random.choice((1, 1, 2))]
        database, disk = self.database, self._disk
        # Most nodes have been started before.
        is_new = schedule.random.random() < _FIRST_STARTS
        disk.begin(schedule, self._new if is_new else self._started)
        database.begin(schedule, () if is_new else self._known)
        site = Site(
            schedule=schedule,
            database=database,
            disk=disk,
            settings=settings,
            listener=self._listener,
            headers=self._headers,
            broker=SimulatedBroker(schedule, kinds),
            archives={
                one.name: SimulatedArchive(one.name, schedule, database)
                for one in settings.destinations
            },
        )
        faults = Faults(schedule, site, among_steps=_AMONG_STEPS, kinds=kinds)
        schedule.before_each_step = faults.before_step
        if database.is_postgresql:
            schedule.settle = database.wait_for_answers
        wrong: list[str] = []
        with pytest.MonkeyPatch.context() as patch, simulated_modules(site, patch):
            site.start(studies_of(schedule.random))
            try:
                schedule.run(
                    lambda: faults.are_over and site.is_quiet(),
                    most_steps=_MOST_STEPS,
                    most_seconds=_MOST_SECONDS,
                )
            except NeverQuietError as error:
                wrong = [*dict.fromkeys(schedule.trouble), str(error)]
            else:
                site.worker_faults = faults.of_workers
                wrong = complaints(site)
            finally:
                for process in schedule.end():
                    database.break_connections_of(process)
        return Played(
            seed=seed,
            steps=schedule.steps,
            seconds=schedule.now,
            digest=schedule.digest(),
            faults=faults.happened,
            wrong=wrong,
            last_steps=list(schedule.last_steps(80)) if wrong else [],
        )


def studies_of(choose: random.Random) -> Sequence[Sequence[tuple[float, Image]]]:
    """Choose what is sent: a study or two, images at once or late, some twice, some corrected.

    Mostly one image of one study: what two images find, one mostly finds too, in half the time.
    """
    studies = []
    for number in range(1, choose.choice((1, 1, 1, 1, 1, 2)) + 1):
        views = range(choose.choice((1, 1, 1, 1, 2, 4)))
        images = []
        for view in views:
            # At once, or about when the study settles without it.
            after = choose.choice((0.0, 0.0, choose.uniform(4.5, 6.0)))
            images.append((after, image_of(number, view)))
            if choose.random() < 0.2:
                images.append((choose.choice((0.0, 2.0, 8.0)), image_of(number, view)))
        if choose.random() < 0.15:
            # The whole study again, under the patient's right name.
            waits = [choose.choice((0.0, 5.0, 12.0)), *(0.0 for _ in views[1:])]
            corrected = [image_of(number, view, is_corrected=True) for view in views]
            images += zip(waits, corrected, strict=True)
        studies.append(images)
    return studies


@contextmanager
def simulation(url: str, folder: Path) -> Iterator[Simulation]:
    """Open a simulation on a database and an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        # Celery reads the settings where a task is first named.
        file = folder / "mammoclip.toml"
        file.write_text('spool = "spool"\n')
        patch.setenv("MAMMOCLIP_CONFIG", str(file))
        if url.startswith("postgresql"):
            holder: list[SimulatedDatabase] = []
            patch.setattr(
                "dicom_node.studies.ledger.bounded_postgresql.BoundedConnection",
                connection_class(holder),
            )
        database = SimulatedDatabase(url)
        if database.is_postgresql:
            holder.append(database)
        with simulated_disk(folder / "spool", patch) as disk:
            gc.disable()
            try:
                yield Simulation(database, disk)
            finally:
                gc.enable()
                database.end()
