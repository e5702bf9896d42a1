"""Requests that try to get around the console: hosts, paths, ranges, bodies, scripts."""

import socket
from http.client import HTTPConnection

import pytest
from console_factory import Served
from node_factory import STUDY_UID

from dicom_node.sign_in.roles import Role


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", ""])
def test_host_of_another_name_is_refused(served: Served, host: str) -> None:
    answer = served.get("/healthz", headers={"Host": host})

    assert answer.status_code == 421


@pytest.mark.parametrize(
    "path",
    [
        "/static/../application.py",
        "/static/..%2fapplication.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static/console.css%00.js",
        "/studies/..%2f..%2fetc%2fpasswd",
        "/studies/../../etc/passwd",
        f"/studies/{STUDY_UID}/images/..%2f..%2fledger/small.jpg",
        f"/studies/{STUDY_UID}/objects/..%2fledger.sqlite.dcm",
        f"/studies/{STUDY_UID}/images/1.2/huge.jpg",
        "/studies/1.2;drop",
        f"/studies/{'1.' * 40}1",
        "/.env",
        "/docs",
        "/openapi.json",
    ],
)
def test_path_that_leads_elsewhere_finds_nothing(served: Served, path: str) -> None:
    host, port = "127.0.0.1", served.settings.console.port
    with socket.create_connection((host, port), timeout=30) as line:
        # By hand: libraries tidy such paths up.
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
            f"Authorization: Bearer {served.tokens[Role.ADMIN]}\r\n\r\n".encode()
        )
        answer = b""
        while piece := line.recv(65536):
            answer += piece

    assert answer.split(b" ")[1] in {b"404", b"400"}, answer[:200]
    assert b"root:" not in answer


def test_ten_thousand_ranges_are_one_whole_answer(served: Served) -> None:
    ranges = "bytes=" + ",".join(f"{n}-{n}" for n in range(8_000))
    for path in ("/static/console.css", f"/studies/{STUDY_UID}/download"):
        answer = served.get(path, Role.VIEWER, headers={"Range": ranges})

        assert answer.status_code in {200, 400, 431}
        assert "Content-Range" not in answer.headers


def test_body_that_is_too_large_is_refused(served: Served) -> None:
    announced = HTTPConnection("127.0.0.1", served.settings.console.port, timeout=30)
    announced.putrequest("POST", "/api/analyze")
    announced.putheader("Content-Length", "4294967296")
    announced.endheaders()
    sent = served.ask(
        "POST",
        "/api/analyze",
        Role.OPERATOR,
        data=(b"x" * 1_000_000 for _ in range(7)),  # without a length
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert announced.getresponse().status == 413
    assert sent.status_code in {400, 413}


def test_every_answer_binds_the_browser(served: Served) -> None:
    for path in ("/sign-in", "/healthz", "/nowhere", "/static/console.js"):
        headers = served.get(path).headers

        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "secret",
    ["", "x", "mcn_" + "A" * 43, "' OR 1=1 --", "é", "x" * 5000],
)
def test_token_of_nobody_is_refused(served: Served, secret: str) -> None:
    answer = served.get(
        "/api/now", headers={"Authorization": f"Bearer {secret}".encode("latin-1", "replace")}
    )

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
