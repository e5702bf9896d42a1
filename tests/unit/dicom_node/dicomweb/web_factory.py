"""Requests to the node's DICOMweb service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from dicom_node.dicomweb.web_server import WebServer
from dicom_node.spool.local_disk import Spool

TOKEN = "a-token-of-24-characters"
ANYONE = {"name": "anyone", "networks": ["127.0.0.0/8"]}


@dataclass
class Served:
    """A service that runs, and the spool behind it."""

    url: str
    port: int
    spool: Spool
    server: WebServer
    ledger_url: str

    def empty(self) -> None:
        for receipt in self.spool.incoming():
            self.spool.incoming_file(receipt).unlink()


Serve = Callable[..., Served]


def message(*files: bytes, boundary: str = "frontier", end: bool = True) -> bytes:
    """Return the body of a request to store."""
    parts = [
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file + b"\r\n"
        for file in files
    ]
    return b"".join(parts) + (f"--{boundary}--\r\n".encode() if end else b"")


CONTENT_TYPE = 'multipart/related; type="application/dicom"; boundary=frontier'


def post(served: Served, body: bytes, path: str = "studies", **headers: str) -> requests.Response:
    """Send a request to store."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return requests.post(
        f"{served.url}/{path}",
        data=body,
        headers={"Content-Type": CONTENT_TYPE, "Accept": "application/dicom+json", **named},
        timeout=30,
    )


def items(answer: requests.Response, tag: str) -> list[dict[str, Any]]:
    """Return the items of a sequence of an answer, each by its tags."""
    return [
        {key: element["Value"][0] for key, element in item.items()}
        for item in answer.json().get(tag, {}).get("Value", [])
    ]
