"""Which device a worker process computes on, found without loading any model library."""

from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.engines.devices import chosen_device, gpu_count


def default_concurrency() -> int:
    """Return how many processes load a model: one a GPU, at least one, never one a core."""
    return max(1, gpu_count())


def device_of(wish: str, process_index: int, engine: EngineName = EngineName.AUTO) -> str:
    """Return the device for one worker process.

    Parameters
    ----------
    wish : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``
    process_index : 0 or more
        Position in the worker's pool: its processes share the GPUs out among them.
    """
    device, gpus = chosen_device(wish, engine), gpu_count()
    return f"cuda:{process_index % gpus}" if device == "cuda" and gpus else device
