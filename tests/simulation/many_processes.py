"""Plays schedules in as many processes as there are processors: each has a ledger of its own."""

import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from legs import Leg
from simulation import simulation


@dataclass
class Share:
    """What came of the schedules that one process played.

    Attributes
    ----------
    wrong : in words, of each schedule in which something was
    """

    schedules: int = 0
    steps: int = 0
    processor_seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def play_share(url: str, folder: Path, seeds: Sequence[int], legs: Sequence[Leg]) -> Share:
    """Play schedules one after the other, and end at the first in which something is wrong."""
    share = Share()
    began = time.process_time()
    with simulation(url, folder) as opened:
        for seed in seeds:
            played = opened.play(seed, legs=legs)
            share.schedules += 1
            share.steps += played.steps
            if played.wrong:
                share.wrong.append(played.in_words())
                break
    share.processor_seconds = time.process_time() - began
    return share


def play_many(
    urls: Sequence[str], folder: Path, seeds: Sequence[int], legs: Sequence[Leg]
) -> list[Share]:
    """Play schedules in one process for each database.

    Parameters
    ----------
    urls : SQLAlchemy URLs of empty databases
    folder : in which each process gets one
    legs : of the way of a study, one of which each schedule plays
    """
    folders = [folder / str(number) for number in range(len(urls))]
    for one in folders:
        one.mkdir()
    shares = [seeds[number :: len(urls)] for number in range(len(urls))]
    with ProcessPoolExecutor(len(urls), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(play_share, urls, folders, shares, [legs] * len(urls)))


def processors() -> int:
    """Return how many processes may play at once."""
    return len(os.sched_getaffinity(0))
