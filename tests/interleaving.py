"""Runs transactions side by side, one statement at a time, in every order that is asked for.

Each action runs in a thread of its own, which stops before each statement and each commit until
the scheduler lets it go on. An order is tried again exactly, since nothing else runs meanwhile.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, event, text

from dicom_node.studies.ledger.database import Database

_STUCK_SECONDS = 30
_LOOK_SECONDS = 0.003
"""Longer than most statements take: to ask the database who waits takes as long as one."""


@dataclass
class Actor:
    """One action in its thread, and what became of it."""

    action: Callable[[], Any]
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Event = field(default_factory=threading.Event)
    is_done: bool = False
    result: Any = None
    error: BaseException | None = None
    backend: int | None = None
    wants_write_lock: bool = False
    has_write_lock: bool = False
    is_ending: bool = False
    ends: int = 0
    blocked_at: int | None = None

    def run(self) -> None:
        self.step()
        try:
            self.result = self.action()
        except BaseException as error:  # noqa: BLE001  the test looks at it
            self.error = error
        self.is_done = True
        self._rest()

    def step(self) -> None:
        """Stop here until the scheduler lets this action go on."""
        self._rest()
        self.go.acquire()

    def _rest(self) -> None:
        self.blocked_at = None
        if self.is_ending:
            self.has_write_lock = self.is_ending = False
            self.ends += 1
        self.stopped.set()


@dataclass(frozen=True)
class Turn:
    """Which action went on, of those that could."""

    chosen: int
    runnable: tuple[int, ...]


class Stage:
    """Where actions are interleaved: one ledger, whose every statement is a stop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._actors: dict[int, Actor] = {}
        self._playing: list[Actor] = []

    @contextmanager
    def open(self) -> Iterator["Stage"]:
        engine = self._database.engine
        hooks: list[tuple[str, Callable[..., None]]] = [
            ("before_cursor_execute", self._before_statement),
            ("commit", self._before_end),
            ("rollback", self._before_end),
        ]
        for name, hook in hooks:
            event.listen(engine, name, hook)
        try:
            yield self
        finally:
            for name, hook in hooks:
                event.remove(engine, name, hook)

    def step(self) -> None:
        """Stop the action that calls this: for steps that are no statements, such as renames."""
        actor = self._actors.get(threading.get_ident())
        if actor is not None:
            actor.step()

    def run(
        self, actions: Sequence[Callable[[], Any]], order: Sequence[int] = ()
    ) -> tuple[list[Actor], list[Turn]]:
        """Run the actions in this order, then each to its end; return them and every turn."""
        actors = self._playing = [Actor(action) for action in actions]
        for actor in actors:
            thread = threading.Thread(target=self._enter, args=(actor,), daemon=True)
            thread.start()
            assert actor.stopped.wait(_STUCK_SECONDS)
        turns: list[Turn] = []
        while runnable := self._runnable(actors):
            wanted = order[len(turns)] if len(turns) < len(order) else None
            last = turns[-1].chosen if turns else runnable[0]
            chosen = next((one for one in (wanted, last) if one in runnable), runnable[0])
            turns.append(Turn(chosen=chosen, runnable=tuple(runnable)))
            actors[chosen].stopped.clear()
            actors[chosen].go.release()
        return actors, turns

    def _enter(self, actor: Actor) -> None:
        self._actors[threading.get_ident()] = actor
        try:
            actor.run()
        finally:
            del self._actors[threading.get_ident()]

    def _runnable(self, actors: list[Actor]) -> list[int]:
        """Wait until every action has stopped, ended or waits for another's lock."""
        # Twice: who waited for the action that went on last may have been let go by it meanwhile.
        for actor in (*actors, *actors):
            for _ in range(int(_STUCK_SECONDS / _LOOK_SECONDS)):
                if self._is_still_blocked(actor) or actor.stopped.wait(_LOOK_SECONDS):
                    break
                if self._is_blocked(actor):
                    break
            else:
                raise AssertionError("an action neither stops nor waits for a lock")
        ready = [n for n, one in enumerate(actors) if one.stopped.is_set() and not one.is_done]
        if not ready and not all(one.is_done for one in actors):
            return self._runnable_after_deadlock(actors)
        locked = any(one.has_write_lock for one in actors)
        return [n for n in ready if not (actors[n].wants_write_lock and locked)]

    def _runnable_after_deadlock(self, actors: list[Actor]) -> list[int]:
        """Wait until the database has ended one of those that wait for each other."""
        waiting = [one for one in actors if not one.is_done]
        for _ in range(_STUCK_SECONDS * 1000):
            if any(one.stopped.wait(0.001) for one in waiting):
                return self._runnable(actors)
        raise AssertionError("all actions wait for each other")

    def _is_still_blocked(self, actor: Actor) -> bool:
        """Return whether an action waits as before: locks are held to the end of a transaction."""
        ends = self._ends()
        return ends is not None and actor.blocked_at == ends and not actor.stopped.is_set()

    def _is_blocked(self, actor: Actor) -> bool:
        if actor.backend is None:
            return False
        ends = self._ends()
        with self._database.engine.connect() as connection:
            query = text("SELECT cardinality(pg_blocking_pids(:pid))")
            is_blocked = bool(connection.scalar(query, {"pid": actor.backend}))
        if is_blocked:
            actor.blocked_at = ends
        return is_blocked

    def _ends(self) -> int | None:
        """Return how many transactions have ended; None while one does."""
        if any(one.is_ending for one in self._playing):
            return None
        return sum(one.ends for one in self._playing)

    def _before_statement(self, connection: Connection, *statement: Any) -> None:
        actor = self._actors.get(threading.get_ident())
        if actor is None:
            return
        if connection.dialect.name == "postgresql":
            driver: Any = connection.connection.driver_connection
            actor.backend = driver.info.backend_pid
        actor.wants_write_lock = statement[1].startswith("BEGIN IMMEDIATE")
        actor.step()
        if actor.wants_write_lock:
            actor.wants_write_lock, actor.has_write_lock = False, True

    def _before_end(self, _connection: Connection) -> None:
        actor = self._actors.get(threading.get_ident())
        if actor is not None:
            actor.step()
            actor.is_ending = True


def every_order(
    attempt: Callable[[Sequence[int]], list[Turn]], *, switches: int
) -> Iterator[tuple[int, ...]]:
    """Yield every order with so many switches between actions that could have gone on.

    `attempt` runs one order on a state of its own, checks what came of it, and returns the turns.
    A switch because an action ended or waits for a lock is free: few others find most races.
    """
    frontier: list[tuple[int, ...]] = [()]
    while frontier:
        order = frontier.pop()
        turns = attempt(order)
        yield tuple(turn.chosen for turn in turns)
        taken = tuple(turn.chosen for turn in turns)
        for at in range(len(order), len(turns)):
            for other in turns[at].runnable:
                branch = (*taken[:at], other)
                if other != taken[at] and _switches(branch, turns) <= switches:
                    frontier.append(branch)


def _switches(order: tuple[int, ...], turns: list[Turn]) -> int:
    return sum(
        order[at] != order[at - 1] and order[at - 1] in turns[at].runnable
        for at in range(1, len(order))
    )
