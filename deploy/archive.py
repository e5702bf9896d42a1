"""The archive on loopback: Orthanc where it is installed, else the project's small archive."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

AE_TITLE: Final = "ARCHIVE"
HOST: Final = "127.0.0.1"
PROGRAM_VARIABLE: Final = "MAMMOCLIP_DEMO_ARCHIVE"
"""``orthanc`` or ``small``; without it Orthanc where it is found."""

_MAXIMUM_PDU_BYTES: Final = 131_072
"""Orthanc's default, 16 KiB, costs both sides half as much processor time again for pictures."""

_PLUGIN_FOLDER: Final = Path("/usr/share/orthanc/plugins")
_PLUGINS: Final = ("libOrthancGdcm.so", "libOrthancDicomWeb.so")


def orthanc_program() -> str | None:
    """Return the Orthanc program, or None if the small archive is used instead.

    Debian puts it into a folder that is not on an ordinary user's PATH.
    """
    if os.environ.get(PROGRAM_VARIABLE, "").lower() == "small":
        return None
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("Orthanc", path=path)


def archive_command(
    folder: Path, *, dicom_port: int, http_port: int, node_port: int, peers: tuple[str, ...]
) -> list[str]:
    """Prepare an archive in `folder` and return the command that runs it in the foreground.

    A configuration that is there already is left as it is.

    Parameters
    ----------
    node_port : of the node's listener, so that the archive can send to it
    peers : further AE titles on this machine that may ask for objects
    """
    folder = folder.absolute()
    program = orthanc_program()
    if program is None:
        objects = folder / "objects"
        # By its path: it is started in other folders than that of this package.
        command = [sys.executable, str(Path(__file__).with_name("small_archive.py")), str(objects)]
        return [*command, "--port", str(dicom_port), "--ae-title", AE_TITLE]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    config = folder / "orthanc.json"
    document = _orthanc_configuration(folder, dicom_port, http_port, node_port, peers)
    _write_once(config, json.dumps(document, indent=2) + "\n")
    return [program, str(config)]


def main(
    folder: Annotated[Path, typer.Argument(help="Folder for the archive's data.")],
    dicom_port: Annotated[int, typer.Option(help="DICOM port of the archive.")],
    http_port: Annotated[int, typer.Option(help="HTTP port of Orthanc.")],
    node_port: Annotated[int, typer.Option(help="DICOM port of the node.")] = 11112,
) -> None:
    """Become the archive's process.

    Example: python -m deploy.archive .up/archive --dicom-port 14242 --http-port 18042
    """
    command = archive_command(
        folder, dicom_port=dicom_port, http_port=http_port, node_port=node_port, peers=()
    )
    os.execv(command[0], command)  # noqa: S606  the command is our own, and needs no shell


def _write_once(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")


def _orthanc_configuration(
    folder: Path, dicom_port: int, http_port: int, node_port: int, peers: tuple[str, ...]
) -> dict[str, object]:
    modalities = {"mammoclip": {"AET": "MAMMOCLIP", "Host": HOST, "Port": node_port}}
    for peer in peers:
        modalities[peer.lower()] = {"AET": peer, "Host": HOST, "Port": node_port}
    plugins = [_PLUGIN_FOLDER / name for name in _PLUGINS]
    return {
        "Name": "Demonstration archive",
        "StorageDirectory": str(folder / "data"),
        "IndexDirectory": str(folder / "data"),
        "Plugins": [str(plugin) for plugin in plugins if plugin.exists()],
        "DicomAet": AE_TITLE,
        "MaximumPduLength": _MAXIMUM_PDU_BYTES,
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "WebDavEnabled": False,
        "DicomModalities": modalities,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


if __name__ == "__main__":
    typer.run(main)
