"""One receiving process: python -m dicom_node.receive.acceptor_process DESCRIPTOR_OF_THE_PORT.

It gets its order on standard input, which then stays open: its end, or that of the node, ends this
process. It writes one byte to standard output for whatever the node should know at once.
"""

import os
import pickle
import resource
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from dicom_node.logs import configure_logs
from dicom_node.receive.listener import Listener
from dicom_node.receive.reporters import Reporter
from dicom_node.settings.tls import TlsSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool

KEPT: Final = b"k"
"""An object is safe on disk."""
LEAVING: Final = b"l"
"""The process accepts no more; another one should."""

_STACK_BYTES: Final = 524_288
_LOOK_SECONDS: Final = 0.25
_SWITCH_SECONDS: Final = 0.0005
"""How long a thread may keep the others from running: a tenth of Python's own value, or a few busy
peers would delay everybody."""

log = structlog.get_logger("dicom_node.listener")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a receiving process is to do.

    Attributes
    ----------
    spool : folder
    log_format : ``console`` or ``json``
    reporters : archives that may report on storage commitment
    """

    settings: ReceiveSettings
    tls: TlsSettings
    spool: Path
    log_format: str
    reporters: tuple[Reporter, ...] = ()


def main() -> None:
    """Receive until the node ends this process, or it is due to be replaced."""
    # From the node's own pipe: neither the command line nor the environment, which others see.
    order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301
    configure_logs(order.log_format)
    settings = order.settings
    limit = settings.process_memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    threading.stack_size(_STACK_BYTES)
    sys.setswitchinterval(_SWITCH_SECONDS)
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's to handle
    os.set_blocking(sys.stdout.fileno(), False)
    listener = Listener(
        settings,
        Spool(order.spool, minimum_free_bytes=settings.minimum_free_bytes),
        tls=order.tls,
        reporters=order.reporters,
        on_kept=partial(_tell, KEPT),
    )
    acceptor = listener.start(socket.socket(fileno=int(sys.argv[1])))
    while not _node_has_ended_this():
        acceptor.heed_other_processes()
        is_due = acceptor.accepted >= settings.recycle_associations or acceptor.out_of_memory
        if is_due or leave.is_set():
            acceptor.close_door()
            while not _tell(LEAVING):
                time.sleep(_LOOK_SECONDS)
            log.info("acceptor_leaving", count=acceptor.accepted)
            patience_ends = time.monotonic() + settings.idle_timeout_seconds
            while not acceptor.is_idle() and not _node_has_ended_this():
                # Who sends nothing but echoes would keep one former process after the other.
                if time.monotonic() > patience_ends:
                    acceptor.end_one_that_stands_still()
            break
    listener.stop()


def _tell(what: bytes) -> bool:
    """Tell the node; whether it could be written."""
    with suppress(OSError):  # full: enough wake-ups wait already; broken: the node has ended
        os.write(sys.stdout.fileno(), what)
        return True
    return False


def _node_has_ended_this() -> bool:
    """Wait a moment for the end of standard input."""
    readable, _, _ = select.select([sys.stdin], [], [], _LOOK_SECONDS)
    return bool(readable)


if __name__ == "__main__":
    main()
