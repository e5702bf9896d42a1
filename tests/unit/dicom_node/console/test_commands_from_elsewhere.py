"""Commands speak to a node elsewhere by its REST API, and print what they print there."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from certificates import Authority
from click.testing import Result
from console_factory import ACCESSION, Served
from node_factory import STUDY_UID
from ports import free_port
from typer.core import TyperGroup
from typer.testing import CliRunner

from dicom_node.audit_trail import deeds_of
from dicom_node.commands.node import app
from dicom_node.commands.remote.choosing import AT_THE_NODE, NEED_NO_NODE
from dicom_node.commands.remote.commands import ELSEWHERE
from dicom_node.sign_in.roles import Role

Elsewhere = Callable[..., Result]


@pytest.fixture
def elsewhere(served: Served) -> Elsewhere:
    """Return what gives a command to the node as a program of a role."""

    def command(*arguments: str, role: Role = Role.ADMIN, **options: str) -> Result:
        token = {"MAMMOCLIP_TOKEN": served.tokens[role]}
        return CliRunner().invoke(app, ["--node", served.url, *arguments], env=token, **options)

    return command


@pytest.fixture
def here(served: Served, tmp_path: Path) -> Callable[..., Result]:
    """Return what gives a command on the machine of the node."""
    archive = served.settings.destinations[0]
    config = tmp_path / "mammoclip.toml"
    config.write_text(
        f'spool = "{served.settings.spool}"\n[[destinations]]\nname = "archive"\n'
        f'ae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = {archive.port}\n'  # type: ignore[union-attr]
    )

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", str(config)])

    return command


@pytest.mark.parametrize(
    "arguments",
    [
        ("studies",),
        ("studies", "--json"),
        ("studies", "--limit", "1", "--state", "failed"),
        ("show", STUDY_UID),
        ("show", ACCESSION),
        ("show", ACCESSION, "--json", "--limit", "2"),
        ("why", ACCESSION),
        ("why", STUDY_UID),
        ("destinations",),
        ("destinations", "--json"),
        ("shadow", "--json"),
        ("receipt-key",),
        ("check", "--before-start"),
    ],
    ids=" ".join,
)
def test_command_prints_what_it_prints_at_the_node(
    elsewhere: Elsewhere, here: Callable[..., Result], arguments: tuple[str, ...]
) -> None:
    role = Role.OPERATOR if "check" in arguments else Role.VIEWER
    there, locally = elsewhere(*arguments, role=role), here(*arguments)

    # The archive of this node does not answer, which check says of both.
    assert locally.exit_code == (2 if "check" in arguments else 0), locally.output
    assert there.exit_code == locally.exit_code, there.output
    # How full the disk is differs from one moment to the next.
    shown = [one.stdout.partition("note  disk")[0] for one in (there, locally)]
    assert shown[0] == shown[1]


def test_metrics_are_those_of_the_node(elsewhere: Elsewhere, tmp_path: Path) -> None:
    file = tmp_path / "node.prom"

    assert elsewhere("metrics", "--out", str(file), role=Role.VIEWER).exit_code == 0

    assert "mammoclip_" in file.read_text()


def test_what_identifies_a_patient_is_asked_for_and_sent_in_the_body(elsewhere: Elsewhere) -> None:
    found = elsewhere("studies", "--find", input=f"{ACCESSION.lower()}\n")

    assert STUDY_UID in found.stdout
    assert STUDY_UID not in elsewhere("studies", "--find", input="A-1999\n").stdout


def test_pause_and_resume_count_at_the_node_and_are_entered_there(
    served: Served, elsewhere: Elsewhere
) -> None:
    paused = elsewhere("pause", "sender", "ROOM9", "--reason", "test", role=Role.OPERATOR)
    again = elsewhere("resume", "sender", "ROOM9", role=Role.OPERATOR)

    assert "sender ROOM9 is paused by token operator program" in paused.stdout
    assert "sender ROOM9 is resumed" in again.stdout
    entered = list(deeds_of(served.settings))[-4:]
    assert [(one["act"], one["who"]) for one in entered[::2]] == [
        ("pause", "token operator program"),
        ("resume", "token operator program"),
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cancel", f"{STUDY_UID}.404"), "is not in the ledger"),
        (("retry", f"{STUDY_UID}.404"), "is not in the ledger"),
        (("retry", "--all"), "name one study"),
        (("retry", "--destination", "nowhere"), "nowhere"),
        (("priority", f"{STUDY_UID}.404", "stat"), "is not in the ledger"),
        (("resume", "sender", "ROOM7"), "is not paused"),
        (("pause", "destination", "nowhere"), "no destination 'nowhere'"),
        (("why", "A-1999"), "no study with this accession number"),
        (("drop-deliveries", "nowhere", "--reason", "gone"), "nowhere"),
        (("move-deliveries", "nowhere", "archive", "--reason", "gone"), "nowhere"),
        (("erase", f"{STUDY_UID}.404", "--yes"), "is not in the ledger"),
        (("erase", "--patient"), "takes one study"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refusal_of_the_node_is_told_in_its_words(
    elsewhere: Elsewhere, arguments: tuple[str, ...], told: str
) -> None:
    answer = elsewhere(*arguments)

    assert answer.exit_code == 1
    assert told in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_token_decides_what_may_be_done(served: Served, elsewhere: Elsewhere) -> None:
    refused = elsewhere("pause", "node", role=Role.VIEWER)
    unknown = CliRunner().invoke(
        app, ["--node", served.url, "studies"], env={"MAMMOCLIP_TOKEN": "mcn_unknown"}
    )

    assert (refused.exit_code, unknown.exit_code) == (1, 1)
    assert "this needs the role operator; yours is viewer" in refused.stderr
    assert "does not know this token" in unknown.stderr


def test_token_comes_from_a_file_before_the_environment(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{served.tokens[Role.VIEWER]}\nnot this line\n")
    arguments = ["--node", served.url, "--token-file", str(file), "studies"]

    answer = CliRunner().invoke(app, arguments, env={"MAMMOCLIP_TOKEN": "mcn_another"})

    assert answer.exit_code == 0, answer.output


@pytest.mark.parametrize("token", ["", "two words", "x" * 201, "häuser"])
def test_token_that_is_none_is_not_sent(served: Served, token: str) -> None:
    answer = CliRunner().invoke(
        app, ["--node", served.url, "studies"], env={"MAMMOCLIP_TOKEN": token}
    )

    assert answer.exit_code == 1
    assert "token" in answer.stderr


@pytest.mark.parametrize(
    "url", ["http://node.example:11190", "node.example", "https://u:p@node.example", "ftp://x"]
)
def test_token_goes_over_no_network_that_can_read_it(url: str) -> None:
    answer = CliRunner().invoke(app, ["--node", url, "studies"], env={"MAMMOCLIP_TOKEN": "mcn_x"})

    assert answer.exit_code == 1
    assert "give the address of its console, https://" in answer.stderr


NEEDED = {
    "back-up": ["x"],
    "migrate-back": ["0008"],
    "users": ["list"],
    "tokens": ["list"],
    "run": [__file__, "--archive", "pacs"],
}


def test_every_command_works_elsewhere_or_says_why_not() -> None:
    def named(group: Any, before: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                yield from named(command, f"{name} ")
            else:
                yield before + name

    kinds = [set(ELSEWHERE), set(NEED_NO_NODE), set(AT_THE_NODE)]

    assert set(named(typer.main.get_command(app))) == set().union(*kinds)
    assert sum(map(len, kinds)) == len(set().union(*kinds))


def test_command_that_needs_no_node_works_where_it_is_run(tmp_path: Path) -> None:
    file = tmp_path / "new.toml"

    done = CliRunner().invoke(app, ["--node", "https://node.example", "init", str(file)])

    assert done.exit_code == 0, done.output
    assert file.exists()


@pytest.mark.parametrize("command", sorted(AT_THE_NODE))
def test_command_that_works_at_the_node_alone_says_so(command: str) -> None:
    needed = NEEDED.get(command, [])
    answer = CliRunner().invoke(
        app,
        ["--node", "https://node.example", command, *needed],
        env={"MAMMOCLIP_TOKEN": "mcn_x"},
    )

    assert answer.exit_code == 1, answer.output
    assert "works on the machine of the node alone" in answer.stderr


def test_nobody_who_answers_is_told_with_the_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    answer = CliRunner().invoke(app, ["--node", url, "studies"], env={"MAMMOCLIP_TOKEN": "mcn_x"})

    assert answer.exit_code == 1
    assert f"nobody answers at {url}" in answer.stderr


Answers = Mapping[str, tuple[int, str]]


@contextmanager
def answering(answers: Answers, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run something that answers each path as told, and others as one that has no such path."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            status, content = answers.get(self.path.partition("?")[0], (404, "<html>"))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", content)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        do_POST = do_GET  # noqa: N815  the library calls it so

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    if context is not None:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


UNKNOWN_ROUTE = (404, '{"error": "Not Found", "reason": "wrong-address"}')


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({}, "is it a node's console?"),
        ({"/api/destinations": (200, "<html>")}, "gives no answer of a node"),
        ({"/api/destinations": (200, "[]")}, "gives no answer of a node"),
        ({"/api/destinations": (302, "https://attacker.example/")}, "HTTP status 302"),
        (
            {
                "/api/destinations": UNKNOWN_ROUTE,
                "/api/openapi.json": (200, '{"info": {"version": "9.9"}}'),
            },
            "is version 9.9, and this command",
        ),
        ({"/api/destinations": (503, '{"error": "the ledger", "reason": "x"}')}, "the ledger"),
    ],
)
def test_answer_of_something_else_is_told_apart(answers: Answers, told: str) -> None:
    with answering(answers) as url:
        answer = CliRunner().invoke(
            app, ["--node", url, "destinations"], env={"MAMMOCLIP_TOKEN": "mcn_x"}
        )

    assert answer.exit_code == 1
    assert told in answer.stderr
    assert "mcn_x" not in answer.output


def test_certificate_of_the_node_is_checked(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("node")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    with answering({"/api/destinations": (200, '{"destinations": []}')}, context) as url:
        arguments = ["--node", url, "destinations", "--json"]
        token = {"MAMMOCLIP_TOKEN": "mcn_x"}
        stranger = CliRunner().invoke(app, arguments, env=token)
        trusted = CliRunner().invoke(
            app, ["--node-authorities", str(authority.file), *arguments], env=token
        )

    assert stranger.exit_code == 1
    assert "TLS failed" in stranger.stderr
    assert trusted.exit_code == 0, trusted.output
