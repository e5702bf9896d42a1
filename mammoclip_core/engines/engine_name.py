"""The names of the engines that a person can choose."""

from enum import StrEnum


class EngineName(StrEnum):
    """Which library computes."""

    AUTO = "auto"
    """torch on a GPU; on a CPU OpenVINO where it is installed, else torch."""
    TORCH = "torch"
    OPENVINO = "openvino"
