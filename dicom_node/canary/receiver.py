"""Takes the results of a canary study for the node itself, while the study is on its way."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.uid import UID
from pynetdicom import evt

from dicom_node.errors import AddressError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.network import UNCOMPRESSED, application_entity
from dicom_node.settings.operation.canary import CanarySettings


class Receiver:
    """What has arrived.

    Attributes
    ----------
    received : SOP Instance UIDs
    port : on which it listens
    """

    def __init__(self) -> None:
        self.received: set[str] = set()
        self.port = 0

    def _store(self, event: evt.Event) -> int:
        # Nothing of it is kept or even read: whoever can reach this port may send anything.
        request: Any = event.request  # of C-STORE: the library's type holds every service
        self.received.add(str(request.AffectedSOPInstanceUID))
        return 0x0000


@contextmanager
def receiving(settings: CanarySettings, *, calling_ae_title: str) -> Iterator[Receiver]:
    """Take results until the block ends.

    Parameters
    ----------
    calling_ae_title : of the workers; nobody else is let in

    Raises
    ------
    AddressError
        The port of the settings is taken, or the address is none of this machine.
    """
    receiver = Receiver()
    entity = application_entity(settings.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = [calling_ae_title]
    for kind in ResultKind:
        for sop_class in kind.row.sop_class_uids:
            entity.add_supported_context(UID(sop_class), list(UNCOMPRESSED))
    try:
        server = entity.start_server(
            (settings.host, settings.port or 0),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, receiver._store)],
        )
    except OSError as error:
        words = (
            "the port is taken; without it in the settings a free one is"
            if error.errno == errno.EADDRINUSE
            else error.strerror
        )
        raise AddressError(
            f"{settings.host}:{settings.port or 'a free port'} under [canary] cannot be listened "
            f"on: {words}"
        ) from error
    assert server is not None
    assert server.socket is not None, "a server that was started"
    receiver.port = int(server.socket.getsockname()[1])
    try:
        yield receiver
    finally:
        server.shutdown()
