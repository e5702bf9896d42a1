"""Messages that only an intruder, or a faulty program, puts into the broker's queues."""

import base64
import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator
from typing import Any


def genuine(task: str = "worker.analyze", work_id: Any = 1, **headers: Any) -> dict[str, Any]:
    """Return a message as the node sends it, but for some headers."""
    return {
        "body": encoded([[work_id], {}, {"callbacks": None, "errbacks": None, "chain": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": "7d1d3e0e-5a3b-4d4e-9f0a-000000000001",
            "timelimit": [None, None],
            "retries": 0,
            **headers,
        },
        "properties": {
            "correlation_id": "7d1d3e0e-5a3b-4d4e-9f0a-000000000001",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "gpu", "routing_key": "gpu"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "7d1d3e0e-5a3b-4d4e-9f0a-000000000002",
        },
    }


def encoded(content: object) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def hostile_messages() -> Iterator[tuple[str, bytes]]:
    """Yield the name of each kind, and what is pushed into a queue."""
    yield from _no_messages()
    for name, message in _altered_messages():
        yield name, json.dumps(message).encode()


def _no_messages() -> Iterator[tuple[str, bytes]]:
    yield "garbage", b"garbage"
    yield "nothing", b""
    yield "bytes that are no UTF-8", b"\xff\xfe\x00\x80"
    yield "a pickle", b"cposix\nsystem\n(S'true'\ntR."
    yield "null", b"null"
    yield "a number", b"1"
    yield "a text", b'"worker.analyze"'
    yield "a list", b"[1, 2, 3]"
    yield "an empty table", b"{}"
    yield "brackets", b"[" * 15_000
    yield "tables in tables", b'{"a":' * 3_000
    yield "a number of very many digits", b"9" * 10_000
    yield "not a number", b"NaN"
    yield "cut off", json.dumps(genuine()).encode()[:100]
    yield "two megabytes", json.dumps(genuine(shadow="x" * 2_000_000)).encode()


def _altered_messages() -> Iterator[tuple[str, dict[str, Any]]]:
    for field in ("body", "content-type", "content-encoding", "headers", "properties"):
        for name, value in (("null", None), ("a list", [1]), ("a number", 7), ("a text", "x")):
            yield f"{field}: {name}", {**genuine(), field: value}
        message = genuine()
        del message[field]
        yield f"{field}: absent", message
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack"):
        yield kind, {**genuine(), "content-type": kind}
    yield "binary", {**genuine(), "content-encoding": "binary"}
    for name, value in _BODIES.items():
        yield f"body of {name}", {**genuine(), "body": encoded(value)}
    padded = base64.b64encode(b"[[1], {}, {}]" + b" " * 3_000).decode()
    yield "a body that is too long", {**genuine(), "body": padded}
    for name, encoding in (("us-ascii", "us-ascii"), ("utf-16", "utf-16"), ("a list", ["utf-8"])):
        yield f"content encoding {name}", {**genuine(), "content-encoding": encoding}
    for kind in ("text/plain", "application/data", "application/json; charset=latin-1", "JSON"):
        yield f"content type {kind}", {**genuine(), "content-type": kind}
    packed = base64.b64encode(zlib.compress(b"\0" * 10_000_000)).decode()
    yield "compressed", {**genuine(compression="application/x-gzip"), "body": packed[:12_000]}
    for library, squeezed in (
        ("gzip", gzip.compress(_ENOUGH)),
        ("bzip2", bz2.compress(_ENOUGH)),
        ("lzma", lzma.compress(_ENOUGH)),
    ):
        body = base64.b64encode(squeezed).decode()
        header = f"application/x-{library}" if library != "lzma" else "application/x-xz"
        yield f"compressed by {library}", {**genuine(compression=header), "body": body}
        yield f"compressed by {library} without saying so", {**genuine(), "body": body}
    for name, changes in _PROPERTIES.items():
        message = genuine()
        message["properties"] = {**message["properties"], **changes}
        yield f"property {name}", message
    yield (
        "protocol 1",
        {
            **genuine(),
            "headers": {},
            "body": encoded({"task": "worker.analyze", "id": "1", "args": [1], "kwargs": {}}),
        },
    )
    for name, headers in _HEADERS.items():
        yield f"header {name}", genuine(**headers)
    for task in (
        "celery.starmap",
        "celery.chunks",
        "celery.group",
        "celery.chain",
        "celery.chord",
        "celery.accumulate",
        "worker.analyze ",
        "worker.tasks.analyze",
    ):
        yield f"task {task}", genuine(task)
    for task in ("celery.map", "celery.chord_unlock", "celery.backend_cleanup", "os.system"):
        yield f"task {task}", genuine(task)


_ENOUGH = b"[[1], {}, {}]" + b" " * 1_000_000

_PROPERTIES: dict[str, dict[str, Any]] = {
    "body_encoding: none": {"body_encoding": None},
    "body_encoding: another": {"body_encoding": "base85"},
    "body_encoding: a table": {"body_encoding": {"base64": 1}},
}
"""What makes a message unreadable; of other properties nothing is looked at."""

ODD_BUT_OURS: dict[str, dict[str, Any]] = {
    "delivery tag of another": {"delivery_tag": "7d1d3e0e-5a3b-4d4e-9f0a-000000000009"},
    "delivery tag: a list": {"delivery_tag": [1]},
    "delivery to nowhere": {"delivery_info": None},
    "delivery to another queue": {"delivery_info": {"exchange": "x", "routing_key": "y"}},
    "priority: very high": {"priority": 10**9},
    "priority: a text": {"priority": "high"},
    "reply to": {"reply_to": "somebody", "expiration": "1"},
}
"""Properties of messages that ask for work of ours all the same: they are made anew."""

_BODIES: dict[str, Any] = {
    "no arguments": [[], {}, {}],
    "two ids": [[1, 2], {}, {}],
    "a text for an id": [["1"], {}, {}],
    "true": [[True], {}, {}],
    "a fraction": [[1.5], {}, {}],
    "zero": [[0], {}, {}],
    "a negative id": [[-1], {}, {}],
    "an id beyond 64 bits": [[10**30], {}, {}],
    "an id beyond 32 bits": [[2**31], {}, {}],
    "a list of ids": [[[1, 2, 3]], {}, {}],
    "keyword arguments": [[1], {"analysis_id": 1}, {}],
    "a callback": [[1], {}, {"callbacks": [{"task": "celery.map", "args": []}]}],
    "a chain": [[1], {}, {"chain": [{"task": "worker.analyze", "args": [2]}]}],
    "an errback": [[1], {}, {"errbacks": [{"task": "celery.map", "args": []}]}],
    "a chord": [[1], {}, {"chord": {"task": "celery.chord_unlock", "args": []}}],
    "four parts": [[1], {}, {}, {}],
    "a text of many letters": ["1" * 1_000, {}, {}],
    "nothing": None,
    "a table": {"args": [1], "task": "worker.analyze"},
    "twenty thousand calls": [[{"task": "worker.analyze"}, [[1]] * 3_000], {}, {}],
}

_HEADERS: dict[str, dict[str, Any]] = {
    "task: null": {"task": None},
    "task: a list": {"task": ["worker.analyze"]},
    "timelimit: texts": {"timelimit": ["a", "b"]},
    "timelimit: a text": {"timelimit": "soon"},
    "timelimit: a second": {"timelimit": [1, 1]},
    "eta: next century": {"eta": "2126-01-01T00:00:00+00:00"},
    "eta: words": {"eta": "tomorrow"},
    "expires: yesterday": {"expires": "2020-01-01T00:00:00+00:00"},
    "retries: a text": {"retries": "many"},
    "timelimit: one number": {"timelimit": 5},
    "timelimit: three": {"timelimit": [None, None, None]},
    "eta: a number": {"eta": 4_102_444_800},
    "eta and expires (a countdown)": {
        "eta": "2027-01-01T00:00:00+00:00",
        "expires": "2028-01-01T00:00:00+00:00",
    },
    "expires: a number": {"expires": 1},
    "retries: three": {"retries": 3},
    "retries: very many": {"retries": 10**30},
    "group index": {"group_index": 1},
    "chord of a chord": {"chord": {"task": "celery.chord", "chord": {"task": "celery.map"}}},
    "stamps that hold a table": {"stamps": {"x": {"y": "z"}}},
    "ledger: a table": {"ledger": {"$ne": ""}},
    "ledger: a text": {"ledger": "'; DROP TABLE studies; --"},
    "a thousand of them": {"retries": 1, **{f"h{number}": number for number in range(1_000)}},
    "group": {"group": "g"},
    "chord": {"chord": {"task": "celery.map"}},
    "stamps": {"stamped_headers": ["x"], "stamps": {"x": ["y"]}},
}
