"""Which device computes, told without loading any model library."""

import importlib.util
import os
from pathlib import Path
from typing import Final

from mammoclip_core.engines.computing_options import EngineName

AUTO: Final = "auto"


def gpu_count() -> int:
    """Count the GPUs this process may use, without touching them: a fork must stay possible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in {"", "-1"}])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def chosen_device(wish: str, engine: EngineName = EngineName.AUTO) -> str:
    """Resolve ``auto`` on this machine; return any other device as it is.

    A GPU, where this process may use one and torch is installed for it; OpenVINO has the CPU.

    Parameters
    ----------
    wish : ``auto``, or a device as torch names it
    """
    if wish != AUTO:
        return wish
    by_torch = engine is not EngineName.OPENVINO and is_installed("torch")
    return "cuda" if by_torch and gpu_count() else "cpu"


def is_installed(library: str) -> bool:
    """Tell whether a library can be imported, without importing it."""
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False
