"""Secrets of the settings: given in a file or in the environment, and never shown."""

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.errors import SettingsError
from dicom_node.settings.settings import Settings

Load = Callable[[str], Settings]

WEB = """
[[destinations]]
name = "web"
kind = "dicomweb"
url = "https://archive/dicom-web"
username = "node"
password = {password}
"""


def password_of(settings: Settings) -> str:
    (destination,) = settings.destinations
    return destination.password.get_secret_value()  # type: ignore[union-attr]


@pytest.mark.parametrize("content", ["s3cret", "s3cret\n", "s3cret\r\n"])
def test_secret_is_read_from_a_file(load: Load, tmp_path: Path, content: str) -> None:
    (tmp_path / "pacs").write_bytes(content.encode())

    settings = load(WEB.format(password='{ file = "pacs" }'))

    assert password_of(settings) == "s3cret"
    assert "s3cret" not in repr(settings) + settings.model_dump_json()


def test_secret_keeps_its_spaces(load: Load, tmp_path: Path) -> None:
    (tmp_path / "pacs").write_text(" s3cret \n")

    assert password_of(load(WEB.format(password='{ file = "pacs" }'))) == " s3cret "


def test_secret_is_read_from_the_environment(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_PASSWORD", "s3cret")

    settings = load(WEB.format(password='{ environment = "PACS_PASSWORD" }'))

    assert password_of(settings) == "s3cret"


@pytest.mark.parametrize(
    "text",
    [
        '[broker]\nurl = { file = "secret" }',
        '[ledger]\nurl = { file = "secret" }',
        '[store]\nsecret_access_key = { file = "secret" }',
        '[tls]\ncertificate = "a"\nprivate_key = "b"\nprivate_key_password = { file = "secret" }',
    ],
)
def test_every_secret_may_be_in_a_file(load: Load, tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text("redis://:s3cret@localhost/0")

    settings = load(text)

    held = [settings.broker.url, settings.ledger.url, settings.tls.private_key_password]
    held.append(settings.store.secret_access_key)
    assert "redis://:s3cret@localhost/0" in [one and one.get_secret_value() for one in held]
    assert "s3cret" not in repr(settings)


def test_file_of_a_secret_may_be_named_in_the_environment(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("redis://:s3cret@localhost/0")
    monkeypatch.setenv("MAMMOCLIP_BROKER__URL__FILE", str(tmp_path / "secret"))

    assert load("").broker.url.get_secret_value() == "redis://:s3cret@localhost/0"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{ file = "absent" }', "absent cannot be read: No such file"),
        ('{ environment = "MAMMOCLIP_ABSENT" }', "variable MAMMOCLIP_ABSENT is not set"),
        ('{ vault = "x" }', "give text"),
        ('{ file = "binary" }', "is not UTF-8 text"),
        ('{ file = "long" }', "is too long for a secret"),
    ],
)
def test_secret_that_cannot_be_had_is_told_with_its_key(
    load: Load, tmp_path: Path, given: str, told: str
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfes3cret")
    (tmp_path / "long").write_bytes(b"s" * 70_000)

    with pytest.raises(SettingsError, match=rf"destinations.*password: .*{told}") as caught:
        load(WEB.format(password=given))

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '[tls]\ncertificate = "s3cret" \nprivate_key_password = "s3cret"\nprivate_key = 5',
        '[broker]\nurl = "rediss://:s3cret@b/0?ssl_cert_reqs=none"',
        '[broker]\nurl = "redis://:s3cret@b/0"\nurll = "s3cret"',
        '[broker]\nurl = ["s3cret"]',
        '[broker]\nurl = { file = ["s3cret"] }',
        '[broker]\nurl = "s3cret\n',
        "[ledger]\nurl = { s3cret = 1 }",
        WEB.format(password='"s3cret"').replace("https://archive", "https://node:s3cret@archive"),
        WEB.format(password='"s3cret"').replace("name", "nome"),
    ],
)
def test_mistake_does_not_show_the_secret(load: Load, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(text)

    told = "".join(traceback.format_exception(caught.value, chain=True))
    shown = [line for line in told.splitlines() if not line.startswith("    ")]  # not the source
    assert "s3cret" not in "\n".join(shown)
