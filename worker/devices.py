"""Chooses the device of a worker process, without loading any model library."""

from typing import Final

from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.engines.devices import chosen_device, gpu_count

PROCESSES_FOR_A_GPU: Final = 2
"""One study is decoded, drawn and written by one process while the GPU works for another's."""


def default_concurrency() -> int:
    """Return the number of processes that load a model: two for each GPU, one without any."""
    return max(1, PROCESSES_FOR_A_GPU * gpu_count())


def device_of(requested: str, process_index: int, engine: EngineName = EngineName.AUTO) -> str:
    """Return the device for one worker process.

    Parameters
    ----------
    requested : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``
    process_index : 0 or more
        Number of the process in the worker's pool; GPUs are assigned in turn.
    """
    device, gpus = chosen_device(requested, engine), gpu_count()
    return f"cuda:{process_index % gpus}" if device == "cuda" and gpus else device
