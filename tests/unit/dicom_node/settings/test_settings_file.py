from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.errors import SettingsError
from dicom_node.settings.reading import config_path, load_settings
from dicom_node.settings.settings import Settings

Load = Callable[[str], Settings]

MISTAKES = """
spoool = "typing error"
log_format = "xml"
[receive]
port = 70000
ae_title = "LONGER THAN SIXTEEN CHARACTERS"
called_ae_titles = ["back\\\\slash"]
maximum_associations = 0
colour = "blue"
[settling]
grace_seconds = "soon"
[results]
longest_side_pixels = 3
[[destinations]]
name = "with space"
host = "127.0.0.1"
[[destinations]]
name = "web"
kind = "dicomweb"
url = "ftp://archive"
[[destinations]]
name = "fax"
kind = "fax"
"""


def test_file_is_the_given_one_or_the_environment_s_or_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert config_path() == Path("mammoclip.toml")
    monkeypatch.setenv("MAMMOCLIP_CONFIG", "/etc/m.toml")
    assert config_path() == Path("/etc/m.toml")
    assert config_path(Path("other.toml")) == Path("other.toml")


def test_empty_file_means_every_default(load: Load, tmp_path: Path) -> None:
    settings = load("")

    assert settings.model_dump() == Settings(spool=tmp_path / "spool").model_dump()


def test_every_mistake_is_reported_at_once_with_its_key(load: Load) -> None:
    with pytest.raises(SettingsError) as caught:
        load(MISTAKES)

    lines = str(caught.value).splitlines()[1:]
    keys = {line.split(":")[0].strip() for line in lines}
    assert keys == {
        "spoool",
        "log_format",
        "receive.port",
        "receive.ae_title",
        "receive.called_ae_titles.0",
        "receive.maximum_associations",
        "receive.colour",
        "settling.grace_seconds",
        "results.longest_side_pixels",
        "destinations.0.dicom.name",
        "destinations.0.dicom.ae_title",
        "destinations.1.dicomweb.url",
        "destinations.2",
    }


def test_message_names_the_file(load: Load, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=str(tmp_path / "mammoclip.toml")):
        load("receive = 5")


def test_unknown_key_is_a_mistake(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"receive\.prot: unknown key"):
        load("[receive]\nprot = 104")


@pytest.mark.parametrize(
    "text", ["spool = ", "[receive\n", "a = 1\na = 2", "spool = 'unclosed\n", "\x00"]
)
def test_file_that_is_not_toml_is_explained(load: Load, text: str) -> None:
    with pytest.raises(SettingsError, match="is not valid TOML"):
        load(text)


def test_file_that_is_not_text_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "mammoclip.toml"
    file.write_bytes(b'spool = "\xff\xfe"')

    with pytest.raises(SettingsError, match="is not UTF-8"):
        load_settings(file)


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_missing_file_says_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="run 'mammoclip-node init' or set MAMMOCLIP_CONFIG"):
        load_settings(tmp_path / name)


def test_environment_wins_over_the_file(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMOCLIP_RECEIVE__PORT", "104")
    monkeypatch.setenv("MAMMOCLIP_LOG_FORMAT", "json")

    settings = load('log_format = "console"\n[receive]\nport = 11112\nae_title = "AI"')

    assert (settings.receive.port, settings.log_format) == (104, "json")
    assert settings.receive.ae_title == "AI"


def test_list_in_the_environment_is_json(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMOCLIP_RECEIVE__CALLING_AE_TITLES", '["ROOM1", "ROOM2"]')

    assert load("").receive.calling_ae_titles == ("ROOM1", "ROOM2")


@pytest.mark.parametrize(
    "name",
    ["MAMMOCLIP_RECEIVE__CALLING_AE_TITLES", "MAMMOCLIP_DESTINATIONS", "MAMMOCLIP_RECEIVE"],
)
def test_list_in_the_environment_that_is_not_json_is_explained(
    load: Load, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "ROOM1,ROOM2")

    with pytest.raises(SettingsError, match=r"environment.*as JSON"):
        load("")


def test_mistake_in_the_environment_is_reported_with_its_key(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMOCLIP_RECEIVE__PORT", "eleven")

    with pytest.raises(SettingsError, match=r"receive\.port: .*integer"):
        load("")


def test_relative_paths_count_from_the_file(load: Load, tmp_path: Path) -> None:
    settings = load('spool = "data/spool"\n[model]\nbundle = "../bundle"')

    assert settings.spool == tmp_path / "data" / "spool"
    assert settings.model.bundle == tmp_path / ".." / "bundle"


def test_absolute_paths_stay(load: Load) -> None:
    settings = load('spool = "/srv/spool"\n[model]\nbundle = "/srv/bundle"')

    assert (settings.spool, settings.model.bundle) == (Path("/srv/spool"), Path("/srv/bundle"))


def test_home_folder_is_understood(load: Load) -> None:
    assert load('spool = "~/spool"').spool == Path.home() / "spool"


def test_relative_file_name_is_anchored_too(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("")
    monkeypatch.chdir(tmp_path)

    assert load_settings(Path("mammoclip.toml")).spool == tmp_path / "spool"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///ledger.sqlite", "sqlite:///{folder}/ledger.sqlite"),
        ("sqlite+pysqlite:///data/x.sqlite", "sqlite+pysqlite:///{folder}/data/x.sqlite"),
        ("sqlite:////srv/ledger.sqlite", "sqlite:////srv/ledger.sqlite"),
        ("sqlite://", "sqlite://"),
        ("postgresql+psycopg://node:pw@db/node", "postgresql+psycopg://node:pw@db/node"),
    ],
)
def test_ledger_file_counts_from_the_file_too(
    load: Load, tmp_path: Path, url: str, expected: str
) -> None:
    settings = load(f'[ledger]\nurl = "{url}"')

    assert settings.ledger_url == expected.format(folder=tmp_path)


SECRETS = """
[ledger]
url = "postgresql://node:s3cret-ledger@db/node"
[broker]
url = "redis://:s3cret-broker@127.0.0.1/0"
[[destinations]]
name = "web"
kind = "dicomweb"
url = "https://archive/dicom-web"
username = "node"
password = "s3cret-web"
"""


def test_secrets_are_not_shown(load: Load) -> None:
    settings = load(SECRETS)

    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "s3cret" not in text


def test_secrets_are_not_shown_beside_a_mistake(load: Load) -> None:
    with pytest.raises(SettingsError) as caught:
        load(SECRETS.replace("https://archive", "archive") + "port = 'x'\n")

    assert "s3cret" not in str(caught.value)


ROOM = '[[receive.senders]]\nae_title = "ROOM1"\n'
NODE = '[tls]\ncertificate = "node.crt"\nprivate_key = "node.key"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[receive]\ntls = true", "receive.tls needs tls.certificate and tls.private_key"),
        (f"[receive]\ntls = true\n{NODE}", "receive.tls needs tls.certificate_authorities"),
        ('[tls]\ncertificate = "node.crt"', "certificate and private_key go together"),
        ('[broker]\nprivate_key = "node.key"', "certificate and private_key go together"),
        ('[receive]\ncertificate_names = "subject"', "certificate_names needs tls = true"),
        (
            '[receive]\ntls = true\nrequire_client_certificate = false\ncertificate_names = "san"',
            "certificate_names needs tls = true and require_client_certificate",
        ),
        (f'[receive]\ncalling_ae_titles = ["ROOM1"]\n{ROOM}', "ROOM1 stands in calling_ae_titles"),
        ('[receive]\nnetworks = ["10.1.2.3/24"]', "receive.networks.0: .*network"),
        (f'{ROOM}networks = ["intranet"]', "receive.senders.0.networks.0"),
        ('[tls]\nminimum_version = "1.1"', "tls.minimum_version"),
        ('[broker]\nurl = "rediss://b/0?ssl_cert_reqs=none"', "ssl_ parameters are not taken"),
        ('[broker]\nkey_prefix = "a*"', "broker.key_prefix"),
    ],
)
def test_access_that_would_not_hold_is_a_mistake(load: Load, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load(text)


def test_certificates_count_from_the_file(load: Load, tmp_path: Path) -> None:
    settings = load(f'{NODE}certificate_authorities = "/etc/ca.crt"\n[receive]\ntls = true')

    assert settings.tls.certificate == tmp_path / "node.crt"
    assert settings.tls.private_key == tmp_path / "node.key"
    assert settings.tls.certificate_authorities == Path("/etc/ca.crt")
