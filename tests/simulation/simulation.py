"""Plays schedules by their seeds, each on an empty ledger and an empty spool."""

import gc
import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from account import complaints
from faults import Faults
from legs import REACHED, RECEPTION, SETTLING, WHOLE_WAY, Beginning, Leg
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

_AMONG_STEPS, _AMONG_STEPS_OF_A_LEG = 350, 60
"""Faults come among so many first steps; a schedule without any has about as many."""

_COUNTS, _COUNTS_OF_A_LEG = (0, 1, 1, 2, 3, 4), (0, 1, 1, 1, 2)
"""How many faults a schedule has."""

_NODES_THAT_START_LATE = 0.8
"""Share of schedules of workers in which these work before the node starts."""

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
    leg : which part of the way of a study was played
    wrong : a sentence for each thing that must not be
    digest : equal for equal orders of steps
    """

    seed: int
    leg: str
    steps: int
    seconds: float
    digest: str
    faults: list[str]
    wrong: list[str]
    last_steps: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        return "\n".join(
            [
                f"seed {self.seed}, {self.leg}: {self.steps} steps",
                *(f"  wrong: {one}" for one in self.wrong),
                *(f"  fault: {one}" for one in self.faults),
                *(f"    {one}" for one in self.last_steps),
                f"  replay: SIMULATION_SEED={self.seed} pytest tests/simulation/test_schedules.py "
                f"-k {'whole' if self.leg == WHOLE_WAY.name else 'leg'}",
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
        self._new = Beginning(files={"identity.key": bytes(range(32))})
        self._started = self._first_start()
        self._reached: dict[int, dict[str, Beginning]] = {}
        self._played = 0

    def _first_start(self) -> Beginning:
        """Start a node once; return what its spool and its ledger hold then."""
        disk, database = self._disk, self.database
        disk.begin(None, self._new.files)
        database.begin(None)
        spool = Spool(disk.root)
        with spool.owned():
            own_spool(spool, database)
            installation_key(spool, database)
        return Beginning(files=disk.content(), statements=database.keep("started"))

    @property
    def dialect(self) -> str:
        """Return the name of the database's kind."""
        return str(self.database.engine.dialect.name)

    def play(
        self, seed: int, *, kinds: Collection[str] = (), legs: Sequence[Leg] = (WHOLE_WAY,)
    ) -> Played:
        """Play one schedule, always the same one for a seed.

        Parameters
        ----------
        kinds : of faults that may happen; by default any
        legs : of the way of a study, one of which is played
        """
        self._played += 1
        if self._played % _COLLECTED_AFTER == 0:
            gc.collect()
        schedule = Schedule(seed)
        choose = schedule.random
        leg, archives = choose.choice(legs), choose.choice((1, 1, 2))
        node_after = 0.0
        if leg == WHOLE_WAY:
            # Most nodes have been started before.
            beginning = self._new if choose.random() < _FIRST_STARTS else self._started
            studies, among_steps, counts = studies_of(choose), _AMONG_STEPS, _COUNTS
        else:
            beginning = self._started if leg == RECEPTION else self._reach(archives)[leg.name]
            studies, among_steps = coming_in(leg, choose), _AMONG_STEPS_OF_A_LEG
            counts = _COUNTS_OF_A_LEG
            if leg.workers and choose.random() < _NODES_THAT_START_LATE:
                node_after = choose.uniform(0.0, 20.0)
        site = self._site(schedule, beginning, leg, archives, kinds)
        faults = Faults(schedule, site, among_steps=among_steps, counts=counts, kinds=kinds)
        schedule.before_each_step = faults.before_step

        def is_over() -> bool:
            return faults.are_over and site.is_quiet()

        wrong: list[str] = []
        with self._running(site, studies, is_over, node_after=node_after) as trouble:
            wrong = trouble
            if not wrong:
                site.worker_faults = faults.of_workers
                wrong = complaints(site)
        return Played(
            seed=seed,
            leg=leg.name,
            steps=schedule.steps,
            seconds=schedule.now,
            digest=schedule.digest(),
            faults=faults.happened,
            wrong=wrong,
            last_steps=list(schedule.last_steps(80)) if wrong else [],
        )

    def _site(
        self,
        schedule: Schedule,
        beginning: Beginning,
        leg: Leg,
        archives: int,
        kinds: Collection[str] = (),
    ) -> Site:
        """Return a site whose processes have not started."""
        database, disk = self.database, self._disk
        disk.begin(schedule, beginning.files)
        database.begin(schedule, beginning.statements)
        schedule.now = beginning.at
        if database.is_postgresql:
            schedule.settle = database.wait_for_answers
        settings = self._settings[archives]
        broker = SimulatedBroker(schedule, kinds)
        broker.begin_with(beginning.messages)
        return Site(
            schedule=schedule,
            database=database,
            disk=disk,
            settings=settings,
            listener=self._listener,
            headers=self._headers,
            broker=broker,
            archives={
                one.name: SimulatedArchive(one.name, schedule, database)
                for one in settings.destinations
            },
            leg=leg,
            acknowledged={uid: [*images] for uid, images in beginning.acknowledged.items()},
        )

    @contextmanager
    def _running(
        self,
        site: Site,
        studies: Sequence[Sequence[tuple[float, Image]]],
        is_over: Callable[[], bool],
        *,
        node_after: float = 0.0,
    ) -> Iterator[list[str]]:
        """Run a site until all is over; the block has what went wrong meanwhile."""
        schedule, wrong = site.schedule, list[str]()
        with pytest.MonkeyPatch.context() as patch, simulated_modules(site, patch):
            site.start(studies, node_after=node_after)
            try:
                try:
                    schedule.run(is_over, most_steps=_MOST_STEPS, most_seconds=_MOST_SECONDS)
                except NeverQuietError as error:
                    wrong = [*dict.fromkeys(schedule.trouble), str(error)]
                yield wrong
            finally:
                for process in schedule.end():
                    self.database.break_connections_of(process)

    def _reach(self, archives: int) -> dict[str, Beginning]:
        """Return where each leg begins, from schedules of the whole way in which nothing fails.

        Parameters
        ----------
        archives : that the site has; as many images has the study
        """
        found = self._reached.setdefault(archives, {})
        seeds = itertools.count()
        while len(found) < len(REACHED):
            self._look_for_beginnings(Schedule(next(seeds)), archives, found)
        return found

    def _look_for_beginnings(
        self, schedule: Schedule, archives: int, found: dict[str, Beginning]
    ) -> None:
        site = self._site(schedule, self._started, WHOLE_WAY, archives)

        def look(_: int) -> None:
            coming = next((leg for leg in REACHED if leg.name not in found), None)
            if coming is None or self.database.is_written_to:
                return
            if self.database.rows(REACHED[coming])[0][0]:
                found[coming.name] = self._beginning(site, f"{coming.name}_{archives}")

        schedule.before_each_step = look
        images = [(0.0, image_of(1, view)) for view in range(archives)]
        with self._running(site, [images], site.is_quiet) as wrong:
            assert not wrong, wrong

    def _beginning(self, site: Site, name: str) -> Beginning:
        """Return what a site holds between two steps."""
        files = self._disk.content()
        return Beginning(
            at=site.schedule.now,
            statements=self.database.keep(name),
            # Their processes are gone.
            files={name: of for name, of in files.items() if not name.startswith("associations/")},
            messages=site.broker.messages,
            acknowledged={uid: [*images] for uid, images in site.acknowledged.items()},
        )


def coming_in(leg: Leg, choose: random.Random) -> Sequence[Sequence[tuple[float, Image]]]:
    """Choose what is sent during a leg: to reception one study, to settling perhaps an image."""
    if leg == RECEPTION:
        return studies_of(choose)[:1]
    if leg != SETTLING or choose.random() < 0.5:
        return ()
    # New or known, about when the study settles without it.
    return [[(choose.uniform(0.0, 6.0), image_of(1, choose.choice((0, 3))))]]


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
            opened = Simulation(database, disk)
            # What is there now stays: nobody needs to look at it again.
            gc.freeze()
            try:
                yield opened
            finally:
                gc.unfreeze()
                gc.enable()
                database.end()
