"""A real viewer for tests: OHIF in a headless browser, before an archive, from one origin."""

import base64
import hashlib
import http.client
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from services import Orthanc, missing, require_program

OHIF: Final = "@ohif/app@3.13.2"
OHIF_SHA512: Final = (
    "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
)
"""The integrity that the registry names; checked again before anything of the file is used."""

CACHE: Final = Path(__file__).parents[1] / ".test" / "ohif"

CONFIGURATION: Final = Path(__file__).parents[1] / "deploy" / "ohif" / "app-config.js"

TOUR_WAS_SEEN: Final = """localStorage.setItem("shownTours", '["basicViewerTour"]')"""
"""What the viewer keeps of a first visit, which would begin with a tour over the images."""

_PASSED_ON: Final = ("/dicom-web/", "/dicomweb/", "/wado")
_OF_THE_CONNECTION: Final = {"connection", "keep-alive", "transfer-encoding", "accept-encoding"}
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


def require_ohif() -> Path:
    """Return the folder of the built viewer; fetched once into an ignored folder of the project."""
    built = CACHE / "package" / "dist"
    if not (built / "index.html").exists():
        _fetch_ohif()
    return built


def _fetch_ohif() -> None:
    npm = require_program("npm")
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir(parents=True)
    command = [npm, "pack", "--silent", OHIF]
    done = subprocess.run(
        command, cwd=CACHE, capture_output=True, text=True, check=False, timeout=240
    )
    if done.returncode != 0:
        missing(f"{OHIF} could not be fetched: {done.stderr.strip()[-300:]}")
    (archive,) = CACHE.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == OHIF_SHA512, f"{OHIF} is not the file that is expected"
    tar = require_program("tar")  # the library's filter came with Python 3.11.4 only
    subprocess.run([tar, "-xzf", archive, "-C", CACHE], check=True, timeout=120)
    archive.unlink()


def ohif_before(archive: Orthanc) -> AbstractContextManager[str]:
    """Serve the viewer and the archive's DICOMweb from one origin; yields its address."""
    return ohif_before_service(archive.http_port)


@contextmanager
def ohif_before_service(port: int) -> Iterator[str]:
    """Serve the viewer and a DICOMweb service from one origin; yields its address."""
    built = require_ohif()

    class Handler(_OneOrigin):
        folder = built
        archive_port = port

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _OneOrigin(BaseHTTPRequestHandler):
    """Files of the viewer, the settings that we ship, and everything else from the archive."""

    protocol_version = "HTTP/1.1"
    folder: Path
    archive_port: int

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(_PASSED_ON):
            self._pass_on()
        elif path == "/app-config.js":
            self._answer(CONFIGURATION.read_bytes(), ".js")
        else:
            self._answer_file(path)

    def do_POST(self) -> None:
        self._pass_on()

    def log_message(self, *_: Any) -> None:
        """Say nothing: what the browser saw is what the tests look at."""

    def _answer_file(self, path: str) -> None:
        file = (self.folder / path.lstrip("/")).resolve()
        if not file.is_relative_to(self.folder.resolve()) or not file.is_file():
            file = self.folder / "index.html"  # the viewer's own routes
        self._answer(file.read_bytes(), file.suffix)

    def _answer(self, content: bytes, suffix: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", _TYPES.get(suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in _OF_THE_CONNECTION
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.archive_port, timeout=60)
        try:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_OF_THE_CONNECTION, "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
