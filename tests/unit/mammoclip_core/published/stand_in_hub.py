"""A model hub on loopback for tests: serves a folder as the real one does, with ranges."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What is served, how badly, and what was asked for.

    Attributes
    ----------
    files : content by ``repository/path``
    breaks_after : bytes of a large file after which the connection is cut, and further ones refused
    digests : reported in place of the true ones
    asked : (method, path, range) of each request
    """

    files: dict[str, bytes]
    port: int = 0
    breaks_after: int | None = None
    digests: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    is_down: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def digest(self, name: str) -> str:
        if name in self.digests:
            return self.digests[name]
        content = self.files[name]
        if is_large(name):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(name: str) -> bool:
    return Path(name).suffix == ".tar"


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    hub = Hub(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_content=False)

        def do_GET(self) -> None:
            self._answer(with_content=True)

        def log_message(self, *arguments: Any) -> None:
            pass

        def _answer(self, *, with_content: bool) -> None:
            wanted = self.headers.get("Range", "")
            hub.asked.append((self.command, self.path, wanted))
            match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
            name = f"{match[1]}/{match[3]}" if match else ""
            if hub.is_down or name not in hub.files:
                status = 503 if hub.is_down else 404
                self.send_response(status)
                if status == 404:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = hub.files[name]
            start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(content) - start))
            if wanted:
                total = len(content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.send_header("ETag", f'"{hub.digest(name)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if not with_content:
                return
            if hub.breaks_after is not None and is_large(name):
                self.wfile.write(content[start : start + hub.breaks_after])
                self.close_connection = True
                hub.is_down = True
                return
            self.wfile.write(content[start:])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
