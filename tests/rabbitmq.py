"""A RabbitMQ server of the tests' own, from Debian's package: names, ports, folders its own."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import amqp
from ports import free_port
from services import Service, missing, require_program, wait_for

_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The server itself: the program of this name on the path changes to the system's own user."""


class RabbitMQ(Service):
    """A server on loopback that keeps its queues when it is started again.

    Its own port mapper (epmd) runs beside it, so that nothing is left behind, and nothing of the
    system is used.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Set a server up; options are further lines of its configuration."""
        if not _PROGRAM.exists():
            missing("rabbitmq-server is not installed: apt-get install rabbitmq-server")
        self.port = free_port()
        self._mapper_port = free_port()
        home = folder / "rabbitmq"
        home.mkdir()
        self.data = home / "data"
        (home / "plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text(
            # A test's disk may be nearly full, and its machine small.
            "disk_free_limit.absolute = 1MB\nvm_memory_high_watermark.absolute = 512MB\n"
            + "".join(f"{option}\n" for option in options)
        )
        self._environment_of_all = {
            "HOME": str(home),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
        }
        self._mapper = Service(
            "epmd",
            [require_program("epmd"), "-port", str(self._mapper_port)],
            folder / "epmd.log",
            self._environment_of_all,
        )
        super().__init__(
            "rabbitmq",
            [str(_PROGRAM)],
            folder / "rabbitmq.log",
            {
                **self._environment_of_all,
                "RABBITMQ_NODENAME": f"tests-{self.port}@localhost",
                "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
                "RABBITMQ_NODE_PORT": str(self.port),
                "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_CONF_ENV_FILE": os.devnull,
                "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
                "RABBITMQ_MNESIA_BASE": str(self.data),
                "RABBITMQ_LOG_BASE": str(home / "log"),
                "RABBITMQ_LOGS": "-",
                "RABBITMQ_PID_FILE": str(home / "pid"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                    "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"
                ),
            },
        )

    @property
    def url(self) -> str:
        """The URL for [broker], with the account that RabbitMQ has for this machine alone."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> "RabbitMQ":
        if self._mapper.process is None:
            self._mapper.start()
        super().start()
        wait_for(self._answers, seconds=120, what="RabbitMQ answers")
        return self

    def stop(self) -> None:
        """Let it write what it holds, and end it with its port mapper."""
        if self.process is not None and self.process.poll() is None:
            # The whole group: the program is a shell until it has become the server.
            os.killpg(self.process.pid, signal.SIGTERM)
        super().stop()
        self._mapper.stop()

    def connect(self) -> amqp.Connection:
        """Return a connection of a plain client."""
        connection = amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=5)
        connection.connect()
        return connection

    def _answers(self) -> bool:
        self.require_alive()
        try:
            self.connect().close()
        except OSError:
            return False
        return True


@contextmanager
def rabbitmq(folder: Path, *options: str) -> Iterator[RabbitMQ]:
    """Run a server in a folder until the end of the block."""
    server = RabbitMQ(folder, *options)
    try:
        yield server.start()
    finally:
        server.stop()
