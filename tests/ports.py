"""Ports on loopback that no other test is about to use."""

import itertools
import os
import random
import socket

# Below the ports that the kernel hands out by itself, so that neither a client's own end nor a
# server on port 0 ever takes one between the moment it is named and the moment it is listened on.
_FIRST, _END = 20_000, 32_000
# Test processes that run beside each other have ranges of their own, so that none takes a port that
# another has named, or whose server is down for a moment; those of another run begin elsewhere.
_count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_own = range(_FIRST, _END)[_number * (_END - _FIRST) // _count :][: (_END - _FIRST) // _count]
_start = random.SystemRandom().choice(_own)
_candidates = itertools.cycle([*range(_start, _own.stop), *range(_own.start, _start)])


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on and that was not returned before."""
    for port in itertools.islice(_candidates, len(_own)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port of {_own.start} to {_own.stop - 1} is free")
