"""Takes HL7 messages over MLLP: safe on disk before they are acknowledged."""

import ipaddress
import socket
import threading
from pathlib import Path
from typing import Final

import structlog

from dicom_node.errors import AddressError, OutOfResourcesError
from dicom_node.hl7.messages import (
    ACCEPTED,
    FAILED,
    REJECTED,
    Message,
    MessageError,
    acknowledgement,
)
from dicom_node.hl7.mllp import FrameError, framed, frames
from dicom_node.hl7.patient_updates import update_in
from dicom_node.settings.ways_in.hl7 import Hl7Settings
from dicom_node.spool.messages.kept_messages import KeptMessages

log = structlog.get_logger("dicom_node.hl7")

MOST_WAITING: Final = 10_000
MOST_CONNECTIONS: Final = 16

_PIECE_BYTES: Final = 65_536
_LOOK_SECONDS: Final = 0.5
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def kept_updates(root: Path) -> KeptMessages:
    """Return the folder ``hl7`` of a spool, with messages that wait to be applied."""
    return KeptMessages(root, "hl7", most=MOST_WAITING, what="HL7 messages")


class Hl7Listener:
    """Listens in background threads, one for each connection.

    Parameters
    ----------
    root : folder of the spool
    """

    def __init__(self, settings: Hl7Settings, root: Path) -> None:
        self._settings = settings
        self._kept = kept_updates(root)
        self._keeping = threading.Lock()
        self._stopping = threading.Event()
        self._places = threading.Semaphore(MOST_CONNECTIONS)
        self._listening: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the port.

        Raises
        ------
        AddressError
            The address is not one of this machine, or the port is in use or privileged.
        """
        address = (self._settings.host, self._settings.port)
        try:
            family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
            self._listening = socket.create_server(address, family=family)
        except OSError as error:
            raise AddressError(
                f"cannot listen on {address[0]} port {address[1]}: {error.strerror or error}. "
                "Check hl7.host and hl7.port"
            ) from error
        self._listening.settimeout(_LOOK_SECONDS)
        self._thread = threading.Thread(target=self._accept, name="hl7", daemon=True)
        self._thread.start()
        log.info("hl7_listening", host=address[0], port=address[1])

    def stop(self) -> None:
        """Close the port; senders try again what was not acknowledged."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)
        if self._listening is not None:
            self._listening.close()

    def _accept(self) -> None:
        assert self._listening is not None
        while not self._stopping.is_set():
            try:
                line, (address, *_) = self._listening.accept()
            except OSError:  # nobody calls just now, or a peer has gone already
                continue
            if not self._may_call(address) or not self._places.acquire(blocking=False):
                log.warning("hl7_connection_refused", address=address)
                line.close()
                continue
            thread = threading.Thread(target=self._serve, args=(line, address), daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the machine is short of them: the sender calls again
                detail = "no thread can be started"
                log.warning("hl7_connection_refused", address=address, detail=detail)
                self._places.release()
                line.close()

    def _may_call(self, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._settings.networks or _LOOPBACK)

    def _serve(self, line: socket.socket, address: str) -> None:
        line.settimeout(self._settings.timeout_seconds)
        try:
            with line:
                most = self._settings.maximum_message_bytes
                for content in frames(lambda: line.recv(_PIECE_BYTES), maximum_bytes=most):
                    line.sendall(framed(self.answer(content)))
                    if self._stopping.is_set():
                        return
        except FrameError as error:
            log.warning("hl7_connection_ended", address=address, detail=str(error))
        except OSError:  # it was silent for too long, or is gone
            pass
        finally:
            self._places.release()

    def answer(self, content: bytes) -> bytes:
        """Keep a message, and return its acknowledgement."""
        message = None
        try:
            message = Message.parse(content)
            update = update_in(message, authorities=self._settings.assigning_authorities)
            if update is not None:
                with self._keeping:  # in the order in which they are acknowledged
                    self._kept.keep({}, content)
        except MessageError as error:
            log.warning("hl7_message_refused", detail=str(error))
            return acknowledgement(message, REJECTED, str(error))
        except OutOfResourcesError as error:
            log.warning("hl7_message_postponed", detail=str(error))
            return acknowledgement(message, FAILED, str(error))
        trigger = message.kind[1] if update is not None else "other"
        log.info("hl7_message_taken", kind=trigger)
        return acknowledgement(message, ACCEPTED)
