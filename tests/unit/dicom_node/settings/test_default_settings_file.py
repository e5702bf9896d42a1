import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dicom_node.settings.reading import default_settings_text
from dicom_node.settings.rules import BundleSettings, ResultRuleSettings, RuleSettings
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import DicomDestination, DicomwebDestination
from dicom_node.settings.ways_out.reporting import (
    FhirDestination,
    Hl7Destination,
    WebhookDestination,
)
from dicom_node.settings.ways_out.results import ProfileSettings

Load = Callable[[str], Settings]

KINDS: list[type[BaseModel]] = [
    DicomDestination,
    DicomwebDestination,
    Hl7Destination,
    FhirDestination,
    WebhookDestination,
]


def test_default_file_gives_the_defaults(load: Load, tmp_path: Path) -> None:
    settings = load(default_settings_text())

    assert settings.model_dump() == Settings(spool=tmp_path / "spool").model_dump()


def test_default_file_with_every_comment_opened_is_valid(load: Load) -> None:
    settings = load(_opened(default_settings_text()))

    assert [type(one) for one in settings.destinations] == KINDS


def test_default_file_mentions_every_setting() -> None:
    document = tomllib.loads(_opened(default_settings_text()))
    destinations = document.pop("destinations")
    (profile,) = document.pop("profiles").values()
    (bundle,) = document.pop("bundles").values()
    rules, (result_rule,) = document.pop("rules"), document.pop("result_rules")

    tables = {"destinations", "profiles", "bundles", "rules", "result_rules"}
    assert _keys(document) == _fields(Settings) - tables
    assert set(profile) == set(ProfileSettings.model_fields)
    assert set(bundle) == set(BundleSettings.model_fields)
    assert {key for rule in rules for key in rule} == set(RuleSettings.model_fields)
    assert set(result_rule) == set(ResultRuleSettings.model_fields)
    for kind, destination in zip(KINDS, destinations, strict=True):
        assert set(destination) == set(kind.model_fields)


def test_every_setting_says_what_it_is() -> None:
    silent = {
        f"{model.__name__}.{name}"
        for model in (Settings, *_sections())
        for name, field in model.model_fields.items()
        if field.description is None and field.annotation not in _sections()
    }

    assert silent == {"Settings.destinations"}


def _sections() -> list[type[BaseModel]]:
    """Return the tables of the settings, and those within them."""
    outer = _tables_of(Settings)
    return [*outer, *(inner for one in outer for inner in _tables_of(one))]


def _tables_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    annotations = [field.annotation for field in model.model_fields.values()]
    return [one for one in annotations if isinstance(one, type) and issubclass(one, BaseModel)]


def _fields(model: type[BaseModel], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        if field.annotation in _sections():
            keys |= _fields(field.annotation, f"{prefix}{name}.")
        else:
            keys.add(prefix + name)
    return keys


def _keys(document: dict[str, Any], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for name, value in document.items():
        is_section = isinstance(value, dict) and bool(value)
        keys |= _keys(value, f"{prefix}{name}.") if is_section else {prefix + name}
    return keys


def _opened(text: str) -> str:
    """Return the text with its commented settings in force, the first of each key."""
    lines, seen = [], set()
    for line in text.splitlines():
        opened = line.removeprefix("# ")
        is_setting = opened.split(" = ")[0].isidentifier() and " = " in opened
        if opened.startswith("["):
            seen.clear()
        elif line != opened and is_setting and opened.split(" = ")[0] in seen:
            continue
        if is_setting:
            seen.add(opened.split(" = ")[0])
        lines.append(opened if is_setting or opened.startswith("[") else line)
    return "\n".join(lines)
