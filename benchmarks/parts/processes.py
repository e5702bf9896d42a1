"""Processor time and memory of a process with all its descendants, as Linux counts them."""

import os
from pathlib import Path

_CLOCK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    further = [int(one) for file in children for one in file.read_text().split()]
    return [pid, *(one for child in further for one in family(child))]


def processor_seconds(pid: int) -> float:
    """Return the time that a process and its descendants have computed, ended ones included."""
    total = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / _CLOCK


def own_bytes(pid: int) -> int:
    """Return the memory of a process, with its share of what it shares with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (shared_out,) = (line for line in lines if line.startswith("Pss:"))
    return int(shared_out.split()[1]) * 1024
