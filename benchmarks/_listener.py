"""The node's listener alone, as a process of its own: python _listener.py PORT FOLDER."""

import signal
import sys
from pathlib import Path

from dicom_node.receive.listener import Listener
from dicom_node.settings.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool


def main() -> None:
    """Listen until SIGTERM."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    listener = Listener(ReceiveSettings(port=port), Spool(folder))
    listener.start()
    signal.sigwait({signal.SIGTERM})
    listener.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
