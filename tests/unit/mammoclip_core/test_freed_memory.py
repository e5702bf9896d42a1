"""Memory that was freed is taken again without the system clearing its pages."""

import platform
import subprocess
import sys

import pytest

USE_TWICE = """
import resource
{before}
def used():
    bytearray(24_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = used()
print(used() - first)
"""
KEEPING = "from mammoclip_core.freed_memory import keep_freed_memory; keep_freed_memory()"
BY_OPENVINO = """
from mammoclip_core.engines.openvino_library import OpenVinoNetwork, OpenVinoOptions
OpenVinoNetwork(lambda: None, (64, 64), OpenVinoOptions())
"""


def pages_cleared(before: str) -> int:
    """Return how many pages the system gave for memory that had just been freed."""
    command = [sys.executable, "-c", USE_TWICE.format(before=before)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide themselves")
@pytest.mark.parametrize("keeping", [KEEPING, BY_OPENVINO])
def test_freed_memory_is_taken_again(keeping: str) -> None:
    assert pages_cleared("") > 5000
    assert pages_cleared(keeping) < 500
