"""The node's receiving processes alone, without registration: python listener.py PORT FOLDER."""

import signal
import sys
from pathlib import Path

from dicom_node.receive.acceptor_pool import AcceptorPool
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool


def main() -> None:
    """Listen until SIGTERM."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    acceptors = AcceptorPool(ReceiveSettings(port=port), Spool(folder))
    acceptors.start()
    signal.sigwait({signal.SIGTERM})
    acceptors.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
