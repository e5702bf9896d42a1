"""Which device a worker process computes on, told without loading any model library."""

import importlib.util
import os
from pathlib import Path


def gpu_count() -> int:
    """Count the GPUs this process may use, without touching them: a fork must stay possible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in {"", "-1"}])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def default_concurrency() -> int:
    """Return how many processes load a model: one a GPU, at least one, never one a core."""
    return max(1, gpu_count())


def device_of(wish: str, process_index: int) -> str:
    """Return the device for one worker process.

    Parameters
    ----------
    wish : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``
    process_index : 0 or more
        Position in the worker's pool: its processes share the GPUs out among them.
    """
    gpus = gpu_count()
    if wish == "auto":
        wish = "cuda" if gpus and importlib.util.find_spec("torch") else "cpu"
    return f"cuda:{process_index % gpus}" if wish == "cuda" and gpus else wish
