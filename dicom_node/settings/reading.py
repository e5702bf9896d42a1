"""Reads the settings file and the environment once, and reports every mistake at once."""

import json
import os
import re
import tomllib
from importlib import resources
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError as SourceError

from dicom_node.errors import SettingsError
from dicom_node.settings.section import paths_from
from dicom_node.settings.settings import Settings

CONFIG_VARIABLE = "MAMMOCLIP_CONFIG"
DEFAULT_CONFIG = Path("mammoclip.toml")


def config_path(given: Path | None = None) -> Path:
    """Return the settings file: the given one, else MAMMOCLIP_CONFIG, else the default."""
    return given or Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def load_settings(given: Path | None = None) -> Settings:
    """Read the settings file and the environment.

    Relative paths in the file start at the file's folder.

    Raises
    ------
    SettingsError
        The file is missing or not TOML, or a value is wrong: the message lists every mistake
        with its key, without values, which may be secret.
    """
    path = config_path(given)
    if not path.is_file():
        raise SettingsError(
            f"settings file {path} not found: run 'mammoclip-node init' or set {CONFIG_VARIABLE}"
        )
    source = type("_FileSettings", (Settings,), {"toml_file": path, "__doc__": Settings.__doc__})
    try:
        with paths_from(path.absolute().parent):
            settings: Settings = source()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except SourceError as error:
        raise SettingsError(
            f"environment: {error}; write lists and tables there as JSON, for example "
            '["ROOM1", "ROOM2"]'
        ) from error
    except ValidationError as error:
        raise SettingsError(f"{path} has mistakes:\n" + "\n".join(_mistakes(error))) from error
    return _anchored(settings, path.absolute().parent)


def default_settings_text(spool: Path = Path("spool")) -> str:
    """Return the commented settings file that ``mammoclip-node init`` writes.

    Parameters
    ----------
    spool : the folder it names; a relative one starts at the file's folder
    """
    defaults = resources.files("dicom_node.settings").joinpath("default.toml")
    text = defaults.read_text(encoding="utf-8")
    # JSON writes a text as TOML does.
    return text.replace('spool = "spool"', f"spool = {json.dumps(str(spool))}", 1)


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors(include_input=False, include_url=False):
        key = ".".join(str(part) for part in mistake["loc"]) or "(file)"
        text = "unknown key" if mistake["type"] == "extra_forbidden" else mistake["msg"]
        lines.append(f"  {key}: {text}")
    return lines


def _anchored(settings: Settings, folder: Path) -> Settings:
    """Let the ledger's file start at a folder, and the spool, which may be the default."""
    changed: dict[str, object] = {"spool": folder / settings.spool}
    if settings.ledger.url is not None:
        url = _anchored_url(settings.ledger.url.get_secret_value(), folder)
        changed["ledger"] = settings.ledger.model_copy(update={"url": SecretStr(url)})
    return settings.model_copy(update=changed)


def _anchored_url(url: str, folder: Path) -> str:
    """Make an SQLite path absolute, or node and worker might open different files."""
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/:].*)", url)
    return url if match is None else f"{match[1]}{folder / match[2]}"
