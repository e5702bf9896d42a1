"""Ports on loopback that no other test is about to use."""

import itertools
import random
import socket

# Below the ports that the kernel hands out by itself, so that neither a client's own end nor a
# server on port 0 ever takes one between the moment it is named and the moment it is listened on.
_FIRST, _END = 20_000, 32_000
# Test processes that run beside each other begin at different places.
_start = random.SystemRandom().randrange(_FIRST, _END)
_candidates = itertools.cycle([*range(_start, _END), *range(_FIRST, _start)])


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on and that was not returned before."""
    for port in itertools.islice(_candidates, _END - _FIRST):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port of {_FIRST} to {_END - 1} is free")
