"""What befalls a site in a schedule: at steps and in ways that follow from the seed."""

from collections.abc import Callable, Collection, Sequence

from schedule import Schedule
from simulated_site import Site

MOST_WORKER_FAULTS = 3
"""Fewer than an analysis may have attempts: no study may fail because of them."""

_LONGEST_STANDSTILL = 15.0
"""More than a lease lasts, and than a message takes to be sent again."""


class Faults:
    """The faults of one schedule.

    Parameters
    ----------
    among_steps : so many first steps
    counts : how many may happen, unless it is of some kinds only
    kinds : what may happen; by default anything
    """

    def __init__(
        self,
        schedule: Schedule,
        site: Site,
        *,
        among_steps: int,
        counts: Sequence[int],
        kinds: Collection[str] = (),
    ) -> None:
        self._schedule, self._site, self._kinds = schedule, site, kinds
        random = schedule.random
        count = random.choice(counts) if not kinds else MOST_WORKER_FAULTS
        self._at = sorted(random.randrange(among_steps) for _ in range(count))
        self.of_workers = 0
        self.happened: list[str] = []

    @property
    def are_over(self) -> bool:
        return not self._at

    def before_step(self, number: int) -> None:
        """Let happen what is to happen at this step."""
        while self._at and number >= self._at[0]:
            self._at.pop(0)
            self._happen()

    def _happen(self) -> None:
        random = self._schedule.random
        site = self._site
        archive = site.archives[random.choice(sorted(site.archives))]
        choices: dict[str, Callable[[], None]] = {
            "node killed": lambda: site.kill("node", back_in=self._seconds()),
            "receiver killed": lambda: site.kill("receiver", back_in=self._seconds()),
            "worker killed": lambda: site.kill(self._worker(), back_in=self._seconds()),
            "worker stands still": lambda: self._stand_still(self._worker()),
            "node stands still": lambda: self._stand_still("node"),
            "power cut": self._cut_power,
            "messages lost": site.broker.lose_some,
            "messages doubled": site.broker.double_some,
            "broker away": lambda: site.broker.go_down(self._seconds()),
            "archive away": lambda: archive.go_away(self._seconds()),
        }
        # A node that stands still amid a transaction holds SQLite's one write lock: no heart of a
        # worker beats meanwhile.
        of_workers = {"worker killed", "worker stands still", "node stands still", "power cut"}
        if not site.workers:
            choices = {what: act for what, act in choices.items() if "worker" not in what}
        if self.of_workers == MOST_WORKER_FAULTS and not self._kinds:
            choices = {what: act for what, act in choices.items() if what not in of_workers}
        able = [one for one in choices if not self._kinds or one in self._kinds]
        if not able:
            return
        what = random.choice(able)
        self.of_workers += what in of_workers
        self.happened.append(f"{what} before step {self._schedule.steps}")
        self._schedule.note(what)
        choices[what]()

    def _seconds(self) -> float:
        return self._schedule.random.random() * _LONGEST_STANDSTILL

    def _worker(self) -> str:
        """Choose a worker, most often one that has something in hand."""
        site = self._site
        busy = [one for one in site.workers if site.broker.is_at_work(site.processes[one])]
        return self._schedule.random.choice(busy or site.workers)

    def _stand_still(self, name: str) -> None:
        """Stop a process as by SIGSTOP, often for longer than a lease lasts."""
        process = self._site.processes[name]
        process.stands_still_until = self._schedule.now + 2 * self._seconds()

    def _cut_power(self) -> None:
        """End every process of the host at once, and leave of its files what was flushed."""
        for name in tuple(self._site.processes):
            self._site.kill(name, back_in=self._seconds())
        self._site.disk.cut_power()
