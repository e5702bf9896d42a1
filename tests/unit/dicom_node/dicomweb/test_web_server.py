"""The DICOMweb service lives and ends as the node wants, over HTTPS where that is set."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from certificates import Authority
from files_on_disk import dicom_file
from node_factory import STUDY_UID, four_views, mammogram
from ports import free_port
from web_factory import CONTENT_TYPE, TOKEN, Serve, Served, message

from dicom_node.node_process import running_node
from dicom_node.settings.settings import Settings
from dicom_node.settings.tls import TlsSettings


def store(served: Served, **options: object) -> requests.Response:
    return requests.post(
        f"{served.url}/studies",
        data=message(dicom_file(mammogram())),
        headers={"Content-Type": CONTENT_TYPE, "Authorization": f"Bearer {TOKEN}"},
        timeout=30,
        **options,  # type: ignore[arg-type]
    )


def until(fact: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < ends, "it comes about in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def secured(serve: Serve, authority: Authority) -> Served:
    own = authority.issue("127.0.0.1")
    return serve(
        {"name": "router", "token": TOKEN, "certificate_name": "room1"},
        tls_settings=TlsSettings(
            certificate=own.file,
            private_key=own.key,
            certificate_authorities=authority.file,
        ),
        tls=True,
        require_client_certificate=True,
    )


def test_client_with_certificate_and_token_stores_over_https(
    secured: Served, authority: Authority
) -> None:
    mine = authority.issue("room1", san="DNS:room1")

    answer = store(secured, verify=str(authority.file), cert=(str(mine.file), str(mine.key)))

    assert answer.status_code == 200


def test_client_with_the_certificate_of_another_is_unknown(
    secured: Served, authority: Authority
) -> None:
    other = authority.issue("room2", san="DNS:room2")

    answer = store(secured, verify=str(authority.file), cert=(str(other.file), str(other.key)))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_client_without_a_certificate_gets_no_connection(
    secured: Served, authority: Authority
) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        store(secured, verify=str(authority.file))


def test_process_that_is_killed_is_replaced(serve: Serve) -> None:
    served = serve({"name": "router", "token": TOKEN})
    assert store(served).status_code == 200
    former = served.server.process_id
    assert former is not None

    os.kill(former, signal.SIGKILL)
    until(lambda: served.server.process_id not in {None, former})

    assert store(served).status_code == 200


def test_node_serves_and_registers_what_is_stored(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(
        spool=tmp_path / "spool",
        receive={"port": free_port(), "minimum_free_bytes": 1},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
        dicomweb={
            "enabled": True,
            "port": port,
            "clients": [{"name": "both", "token": TOKEN, "may": ["store", "read"]}],
        },
    )
    url = f"http://127.0.0.1:{port}/dicomweb/studies"

    with running_node(settings):
        answer = requests.post(
            url,
            data=message(*map(dicom_file, four_views())),
            headers={"Content-Type": CONTENT_TYPE, "Authorization": f"Bearer {TOKEN}"},
            timeout=30,
        )
        until(lambda: _objects_at(f"{url}/{STUDY_UID}/instances") == 4)

    assert answer.status_code == 200


def _objects_at(url: str) -> int:
    answer = requests.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    return len(answer.json()) if answer.status_code == 200 else 0  # the ledger is made meanwhile


def test_process_ends_with_the_node(serve: Serve) -> None:
    served = serve({"name": "router", "token": TOKEN})
    assert store(served).status_code == 200

    served.server.stop()

    assert served.server.process_id is None
    with pytest.raises(requests.exceptions.ConnectionError):
        store(served)


def test_command_of_the_documents_stores_an_object(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    root = Path(__file__).parents[4]
    text = (root / "docs" / "ways" / "dicomweb.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\.venv/bin/(dicomweb_client .*)$", text, re.MULTILINE)
    own = authority.issue("127.0.0.1")
    served = serve(
        {"name": "router", "token": TOKEN},
        tls=True,
        tls_settings=TlsSettings(certificate=own.file, private_key=own.key),
    )
    file = tmp_path / "image.dcm"
    file.write_bytes(dicom_file(mammogram()))
    for word, value in {
        "https://node.example:11180/dicomweb": served.url,
        "TOKEN": TOKEN,
        "FILE": file,
    }.items():
        line = line.replace(word, str(value))
    program, *arguments = line.split()

    done = subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "REQUESTS_CA_BUNDLE": str(authority.file)},
    )

    assert "export REQUESTS_CA_BUNDLE=" in text
    assert done.returncode == 0, done.stderr
    assert len(served.spool.incoming()) == 1
