"""An S3 server of the tests' own, from a wheel: its files lie in a folder, and it may be away."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from services import BIN, Service, wait_for

from dicom_node.settings.store import StoreSettings

BUCKET, KEY_ID, SECRET = "mammoclip", "TESTKEYID", "test-secret-key"


class S3Server(Service):
    """A server with one bucket.

    Attributes
    ----------
    files : folder with the objects of the bucket
    """

    def __init__(self, folder: Path, *, listen: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.files = folder / "s3" / BUCKET
        self.files.mkdir(parents=True)
        command = [str(BIN / "rclone"), "serve", "s3", "--auth-key", f"{KEY_ID},{SECRET}"]
        command += ["--addr", f"{listen}:{self.port}", "--config", str(folder / "rclone.conf")]
        super().__init__("s3", [*command, str(self.files.parent)], folder / "s3.log")

    def start(self) -> "S3Server":
        super().start()
        wait_for(self._answers, seconds=30, what="the S3 server answers")
        return self

    @property
    def settings(self) -> StoreSettings:
        return StoreSettings(
            bucket=BUCKET,
            endpoint=f"http://127.0.0.1:{self.port}",
            access_key_id=KEY_ID,
            secret_access_key=SECRET,
        )

    def objects(self) -> list[Path]:
        return sorted(file for file in self.files.rglob("*") if file.is_file())

    def _answers(self) -> bool:
        self.require_alive()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    """Run a server for the length of a test."""
    server = S3Server(tmp_path)
    try:
        yield server.start()
    finally:
        server.kill()
