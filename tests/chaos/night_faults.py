"""Everything that befalls a site in a night, in turn."""

import random
from collections.abc import Callable
from typing import Final

from night import ACCELERATION, Night

Fault = tuple[str, Callable[[], None]]

AN_HOUR: Final = 3600 / ACCELERATION


def few_faults_of(night: Night) -> list[Fault]:
    """Return what befalls the site in a short night."""
    lasting = night.lasting
    return [
        ("kill -9 of the node", lambda: night.kill(night.node)),
        ("kill -9 of the worker", lambda: night.kill(night.worker)),
        ("garbage in the queues", night.poison_queue),
        ("broker wiped", night.wipe_broker),
        ("kill -9 of the delivering worker", lambda: night.kill(night.delivery)),
        ("ledger locked", lasting(2, night.ledger_locked)),
        ("archive away", lasting(3, lambda: night.away(night.archive))),
    ]


def all_faults_of(night: Night, round_: int) -> list[Fault]:
    """Return what befalls the site in one round of a long night, in another order each round."""
    lasting = night.lasting
    faults = [
        *few_faults_of(night),
        ("kill -9 of each further process", night.kill_each_process),
        ("kill -9 of receiving processes", lambda: night.kill_children(night.node)),
        ("kill -9 of an analysing process", lambda: night.kill_children(night.worker)),
        ("kill -9 of sending processes", lambda: night.kill_children(night.delivery)),
        *(
            (
                f"kill -9 of the first process of {service.name}",
                lambda service=service: night.kill_first_process(service),
            )
            for service in night.managed
        ),
        ("kill -9 of the broker", night.restart_broker),
        ("ledger locked for long", lasting(12, night.ledger_locked)),
        ("archive silent", lasting(15, lambda: night.silent(night.archive))),
        ("broker silent", lasting(8, lambda: night.silent(night.broker))),
        ("way to the archive black-holed", lasting(15, lambda: night.vanishing("archive"))),
        ("way to the broker black-holed", lasting(15, lambda: night.vanishing("broker"))),
        ("results read-only", lasting(8, lambda: night.closed("results"))),
        ("clock back an hour", lasting(8, night.clock_back)),
        ("archive away for an hour", lasting(AN_HOUR, lambda: night.away(night.archive))),
        ("paused over a lost broker, resumed and then deaf", night.paused_then_deaf),
    ]
    if night.has_own_disk:
        faults.append(("disk full", lasting(8, night.disk_full)))
        for folder in ("incoming", "studies"):
            faults.append((f"{folder} read-only", lasting(8, lambda f=folder: night.closed(f))))
    random.Random(round_).shuffle(faults)
    return faults
