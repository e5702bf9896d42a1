"""``make up``: everything on one machine in the foreground, for a real scanner to send to."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from deploy.archive import HOST, orthanc_program
from deploy.demo.children import answers, free_ports
from deploy.settings_file import Site, settings_text
from dicom_node.errors import SettingsError
from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings
from dicom_node.spool.files.private_files import keep_new_files_private

_ROOT: Final = Path(__file__).resolve().parents[1]
_NODE_PORT: Final = 11112
_PREFERRED_PORTS: Final = {"BROKER": 16379, "ARCHIVE": 14242, "HTTP": 18042}
_PREFIX: Final = "MAMMOCLIP_UP_"


def main(
    folder: Annotated[
        Path, typer.Option(help="Folder for settings, spool, broker and archive.")
    ] = _ROOT / ".up",
) -> None:
    """Start broker, archive, node and workers by the Procfile; Ctrl-C stops them all.

    Example: python -m deploy.up --folder /srv/mammoclip
    """
    keep_new_files_private()
    folder = folder.absolute()
    ports = prepare(folder)
    try:
        settings = load_settings(folder / "mammoclip.toml")
    except SettingsError as error:
        typer.echo(f"make up: {error}", err=True)
        raise typer.Exit(1) from error
    _explain(folder, settings, ports)
    os.chdir(_ROOT)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONUNBUFFERED": "1",
        "MAMMOCLIP_CONFIG": str(folder / "mammoclip.toml"),
        f"{_PREFIX}FOLDER": str(folder),
        **{f"{_PREFIX}{name}_PORT": str(port) for name, port in ports.items()},
    }
    command = [sys.executable, "-m", "honcho", "start", "-f", "deploy/Procfile"]
    os.execve(command[0], command, environment)  # noqa: S606  the command is our own, and needs no shell


def prepare(folder: Path) -> dict[str, int]:
    """Make the folder at the first start; returns the ports, the same at every later start.

    The settings file is the user's after that: it is not written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "ports"
    if not file.exists():
        ports = {
            name: free_ports(1)[0] if answers(port) else port
            for name, port in _PREFERRED_PORTS.items()
        }
        file.write_text("".join(f"{name}={port}\n" for name, port in ports.items()))
    lines = file.read_text().splitlines()
    ports = {name: int(port) for name, _, port in (line.partition("=") for line in lines)}
    config = folder / "mammoclip.toml"
    if not config.exists():
        site = Site(
            spool=folder / "spool",
            listen_on="0.0.0.0",  # noqa: S104  a scanner stands on another machine
            port=_NODE_PORT,
            broker_url=f"redis://{HOST}:{ports['BROKER']}/0",
            archive_port=ports["ARCHIVE"],
            idle_seconds=60,
            grace_seconds=5,
        )
        config.write_text(settings_text(site), encoding="utf-8")
    return ports


def _explain(folder: Path, settings: Settings, ports: dict[str, int]) -> None:
    receive = settings.receive
    config = folder / "mammoclip.toml"
    lines = [
        f"Settings   {config} (restart after editing)",
        f"Send to    AE title {receive.ae_title}, port {receive.port}, for example",
        f"           .venv/bin/python -m pynetdicom storescu {HOST} {receive.port} FOLDER"
        f" -aec {receive.ae_title} -r -cx",
        f"Watch      MAMMOCLIP_CONFIG={config} .venv/bin/mammoclip-node studies",
        f"Results    AE title ARCHIVE, {HOST} port {ports['ARCHIVE']}",
    ]
    if orthanc_program():
        lines.append(f"           Orthanc Explorer: http://{HOST}:{ports['HTTP']}/")
    lines.append("Ctrl-C stops everything; received images are kept.")
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print("RESEARCH USE ONLY: not a medical device, not for diagnosis.", style="bold")
    console.print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
