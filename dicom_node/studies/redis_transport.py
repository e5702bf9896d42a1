"""kombu's Redis transport without Lua, so that the broker's user needs no right to scripts."""

import time
from typing import Any, Final

from kombu.transport import redis

from dicom_node.name_lookup import connected_to_one_of, look_up

_ERRORS: Final = redis.get_redis_error_classes()


_LOOK_UP_SECONDS: Final = 5.0
"""Longest wait for the address of the broker: no time-out of the library reaches the resolver."""

_CONNECT_SECONDS: Final = 5.0
"""Longest wait for a connection where nobody has set another one."""


class _FoundConnection(redis.redis.Connection):  # type: ignore[misc]  # kombu has no types
    """A connection to one of the addresses of the broker, which is looked up in bounded time."""

    host: str
    socket_connect_timeout: float | None

    def _connect(self) -> Any:
        name, seconds = self.host, self.socket_connect_timeout

        def connect_to(address: str, share: float) -> Any:
            self.host, self.socket_connect_timeout = address, share
            return super(_FoundConnection, self)._connect()

        try:
            return connected_to_one_of(
                look_up(name, _LOOK_UP_SECONDS),
                connect_to,
                _CONNECT_SECONDS if seconds is None else seconds,
            )
        finally:
            self.host, self.socket_connect_timeout = name, seconds


class _FoundSecuredConnection(redis.redis.SSLConnection, _FoundConnection):  # type: ignore[misc]
    """The same within TLS, which knows the broker by its name: it is laid over that connection."""


class QoS(redis.QoS):  # type: ignore[misc]  # kombu has no types
    """What a worker has received and not acknowledged."""

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Put back what a worker that was killed has left, each time that enough calls have passed.

        The library's own does the same under a lock, which it releases by a Lua script. Two workers
        at once do no harm: each message is taken back in a transaction of its own.
        """
        self._vrestore_count += 1
        if (self._vrestore_count - 1) % (interval or 1):
            return
        with self.channel.conn_or_acquire() as client:
            overdue = client.zrange(
                self.unacked_index_key,
                time.time() - self.visibility_timeout,
                0,
                desc=True,
                byscore=True,
                offset=start if num else None,
                num=num,
            )
            for tag in overdue or ():
                self.restore_by_tag(tag, client)


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel that restores without a lock, and whose queues do not expire by scripts."""

    QoS: Any = QoS
    connection_class: Any = _FoundConnection
    connection_class_ssl: Any = _FoundSecuredConnection

    def _get_queue_expire(self, _arguments: Any) -> None:
        """Let no queue expire: those of events and control keep no messages in Redis anyway."""


class Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    """The transport for ``redis://`` and ``rediss://``."""

    Channel: Any = Channel
    # A broker that is full, read-only or refuses a command may be well again in a minute: a worker
    # connects anew until it is, instead of ending.
    connection_errors: Any = _ERRORS.connection_errors + _ERRORS.channel_errors
