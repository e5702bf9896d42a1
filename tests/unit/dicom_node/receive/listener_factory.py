"""A storage SCU as the listener's tests need it: it sends whatever bytes it is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from node_factory import FOR_PRESENTATION
from paused_reactor import paused
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.network import hear_rejection
from dicom_node.receive.listener import Listener

Listening = Callable[..., tuple[Listener, int]]


def requestor(calling: str = "SCANNER", *contexts: tuple[str, list[str]]) -> AE:
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    for sop_class, syntaxes in contexts or [(FOR_PRESENTATION, [ExplicitVRLittleEndian])]:
        entity.add_requested_context(sop_class, syntaxes)
    return entity


@contextmanager
def associated(
    port: int,
    *contexts: tuple[str, list[str]],
    calling: str = "SCANNER",
    called: str = "MAMMOCLIP",
    **options: Any,
) -> Iterator[Any]:
    """Hold an association; yields it established or not."""
    entity = requestor(calling, *contexts)
    association = entity.associate("127.0.0.1", port, ae_title=called, **options)
    hear_rejection(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
            association.join(10)


def store(
    port: int, content: bytes, sop_class: str = FOR_PRESENTATION, *, uid: str = "1.2.3", **how: Any
) -> int | None:
    """Send bytes as a data set, whatever they are, with a command set of one's own."""
    syntax = how.pop("syntax", ExplicitVRLittleEndian)
    with associated(port, (sop_class, [syntax]), **how) as association:
        assert association.is_established
        return request(association, content, sop_class, uid)


def request(association: Any, content: bytes, sop_class: str, uid: str) -> int | None:
    message = C_STORE()
    message.MessageID = 1
    message.AffectedSOPClassUID = sop_class
    message.AffectedSOPInstanceUID = uid
    message.Priority = 2
    message.DataSet = BytesIO(content)
    context = association.accepted_contexts[0]
    with paused(association):
        association.dimse.send_msg(message, context.context_id)
        _, answer = association.dimse.get_msg(block=True)
    return None if answer is None else answer.Status
