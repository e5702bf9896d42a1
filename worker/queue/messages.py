"""Which messages of the broker are ours: one of two tasks, with the id of one row of the ledger.

Whoever can write to the broker can put anything into a queue. A message is therefore never run as
it came: what names a task of ours and one id is made anew, with nothing else in it, and everything
else is discarded.
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE, LEDGER_HEADER, TASKS

LONGEST_MESSAGE_BYTES: Final = 16_384
"""Size beyond which a message is not read; those of the node have about 1,000 bytes."""

_LONGEST_BODY_BYTES: Final = 2_048
_HIGHEST_ID: Final = 2**31 - 1
"""The largest row number of a ledger in PostgreSQL, which fails at a larger one."""

_HIGHEST_PRIORITY: Final = 9
_QUEUES: Final = (GPU_QUEUE, DELIVER_QUEUE)

_IDENTITY: Final = re.compile("[0-9a-f]{32}", re.ASCII)

_NEVER_SET: Final = (
    "chord",
    "compression",
    "eta",
    "expires",
    "group",
    "group_index",
    "retries",
    "stamped_headers",
    "stamps",
)
"""Headers by which Celery would delay, repeat or chain a task; the node sets none of them."""


class UnwantedMessageError(Exception):
    """A message that no node sent; its text says why, and quotes nothing of the message."""


@dataclass(frozen=True, slots=True)
class WorkMessage:
    """A task of ours and the row of the ledger that it speaks of.

    Parameters
    ----------
    task : ``worker.analyze`` or ``worker.deliver``
    work_id : 1 to 2**31 - 1
    ledger : 32 hexadecimal digits
        The identity of that ledger; empty in a message of an earlier version's node.
    """

    task: str
    work_id: int
    ledger: str = ""

    def headers(self) -> dict[str, Any]:
        """Return the headers of Celery's protocol 2 without any option."""
        return {"lang": "py", "task": self.task, "id": str(uuid.uuid4()), "ignore_result": True}

    def body(self) -> bytes:
        """Return the body of Celery's protocol 2: the id, and nothing to run afterwards."""
        return json.dumps([[self.work_id], {}, {}]).encode()


def work_of(
    headers: object, body: object, *, content_type: object, content_encoding: object
) -> WorkMessage:
    """Return what a message asks for.

    Raises
    ------
    UnwantedMessageError
        The message is none of ours.
    """
    if not isinstance(headers, Mapping):
        raise UnwantedMessageError("its headers are not a table")
    task = headers.get("task")
    if not isinstance(task, str) or task not in TASKS:
        raise UnwantedMessageError("it names no task of this worker")
    if content_type != "application/json" or content_encoding != "utf-8":
        raise UnwantedMessageError("its content is not JSON in UTF-8")
    options = [name for name in _NEVER_SET if headers.get(name)]
    limits = headers.get("timelimit")
    if limits is not None and limits not in ([None, None], (None, None)):
        options.append("timelimit")
    if options:
        raise UnwantedMessageError(f"it sets {', '.join(options)}, which the node never does")
    return WorkMessage(task, _id_in(body), _ledger_in(headers))


def _ledger_in(headers: Mapping[Any, Any]) -> str:
    named = headers.get(LEDGER_HEADER)
    if named is None:
        return ""
    if not isinstance(named, str) or _IDENTITY.fullmatch(named) is None:
        raise UnwantedMessageError("its header names no ledger that a node could have")
    return named


def _id_in(body: object) -> int:
    if isinstance(body, str):
        body = body.encode(errors="replace")
    if not isinstance(body, bytes | bytearray | memoryview):
        raise UnwantedMessageError("it has no body")
    if len(body) > _LONGEST_BODY_BYTES:
        raise UnwantedMessageError(f"its body has more than {_LONGEST_BODY_BYTES} bytes")
    try:
        content = json.loads(bytes(body))
    # A body of brackets alone reaches the interpreter's limit of recursion.
    except (ValueError, RecursionError) as error:
        raise UnwantedMessageError("its body is not JSON") from error
    match content:
        case [[int() as work_id], {**options}, {**callbacks}] if not isinstance(work_id, bool):
            if options or any(callbacks.values()):
                raise UnwantedMessageError("it has arguments or further tasks beside the id")
            if not 1 <= work_id <= _HIGHEST_ID:
                raise UnwantedMessageError("its id is not between 1 and 2**31 - 1")
            return work_id
    raise UnwantedMessageError("its argument is not the id of one row")


def readable(raw: object, queue: str) -> dict[str, Any]:
    """Return a message of a Redis queue in the form that Celery's transport can always read.

    Its delivery tag and properties are made anew: two messages with one tag would be acknowledged
    together.

    Raises
    ------
    UnwantedMessageError
        The message does not have the form, or came by another queue.
    """
    if queue not in _QUEUES:
        raise UnwantedMessageError("it came by a queue that this worker does not read")
    if not isinstance(raw, dict):
        raise UnwantedMessageError("it is not a table")
    headers, body, properties = raw.get("headers"), raw.get("body"), raw.get("properties")
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        raise UnwantedMessageError("it has no headers or no properties")
    if headers.get("compression"):
        raise UnwantedMessageError("it is compressed")
    if not isinstance(body, str) or properties.get("body_encoding") != "base64":
        raise UnwantedMessageError("its body is not in base64")
    try:
        base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnwantedMessageError("its body is not in base64") from error
    priority = properties.get("priority")
    if not isinstance(priority, int) or not 0 <= priority <= _HIGHEST_PRIORITY:
        priority = 0
    return {
        "body": body,
        "content-type": raw.get("content-type"),
        "content-encoding": raw.get("content-encoding"),
        "headers": headers,
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": queue, "routing_key": queue},
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "priority": priority,
        },
    }
