"""What the documents say of the settings, profiles and numbers is what the code holds."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import documents
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydicom.uid import UID

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.identity import DEFAULT_SERIES_NUMBER_BASE
from dicom_node.objects.products import PROFILES
from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.results import DEFAULT_PROFILE

DEFAULTS = Settings.model_construct()
DOCS = documents.ROOT / "docs"
README = documents.ROOT / "README.md"
DEFAULT_FILE = documents.ROOT / "dicom_node" / "settings" / "default.toml"

each_guide = pytest.mark.parametrize("path", documents.GUIDES, ids=documents.name_of)


def sections_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield every model within the type of a setting, itself included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from sections_of(field.annotation)
    for part in get_args(annotation):
        yield from sections_of(part)


SECTIONS = {
    name: tuple(sections_of(field.annotation)) for name, field in Settings.model_fields.items()
}
FILE_ENDINGS = {"id", "jsonl", "key", "py", "sqlite"}
KEYS = {key for section in sections_of(Settings) for key in section.model_fields}


def accepts(key: str, value: Any) -> bool:
    """Return whether any section has the key and takes the value."""
    for section in sections_of(Settings):
        if field := section.model_fields.get(key):
            try:
                TypeAdapter(Annotated[field.annotation, field]).validate_python(value)
            except ValidationError:
                continue
            return True
    return False


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch):
    for name in os.environ:
        if name.startswith("MAMMOCLIP_"):
            monkeypatch.delenv(name)


def whole(path, block):
    """Return an example of rules with the destinations and bundles of its page."""
    named = ("[[destinations]]", "[bundles.")
    others = [one for one in documents.blocks_of(path, "toml") if one.startswith(named)]
    return "\n".join([block, *others]) if "rules]]" in block else block


BLOCKS = [
    pytest.param(whole(path, block), id=f"{path.name}-{number}")
    for path in documents.GUIDES
    for number, block in enumerate(documents.blocks_of(path, "toml"), start=1)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_of_settings_are_valid(block, tmp_path):
    file = tmp_path / "mammoclip.toml"
    file.write_text(block, encoding="utf-8")

    load_settings(file)


@each_guide
def test_sections_exist(path):
    named = {
        name
        for span in documents.spans_of(path)
        for name in re.findall(r"^\[{1,2}([a-z]\w+)(?:\.\w+)?\]{1,2}$", span)
    }

    assert named <= set(Settings.model_fields)


@each_guide
def test_keys_that_name_their_section_exist(path):
    named = [
        match
        for span in documents.spans_of(path)
        if (match := re.fullmatch(r"([a-z_]+)\.([a-z_]+)", span))
        and (
            (match[1] in SECTIONS and match[2] not in FILE_ENDINGS)
            or ("_" in match[2] and match[2] in KEYS)
        )
    ]

    unknown = [
        match[0]
        for match in named
        if not any(match[2] in section.model_fields for section in SECTIONS.get(match[1], ()))
    ]

    assert unknown == []


@each_guide
def test_settings_within_sentences_are_valid(path):
    wrong = []
    for span in documents.spans_of(path):
        if match := re.fullmatch(r'(?:\w+\.)?([a-z_]+) = ("[^"]*"|[\d.]+|true|false|\[.*\])', span):
            value = tomllib.loads(f"value = {match[2]}")["value"]
            known = match[1] in KEYS if value == "..." else accepts(match[1], value)
            known = known and (match[1] != "profile" or value in {*PROFILES, "..."})
            wrong += [] if known else [span]

    assert wrong == []


@each_guide
def test_variables_for_settings_are_settings(path):
    wrong = []
    for section, key, _, value in re.findall(
        r"\bMAMMOCLIP_([A-Z_]*?[A-Z])__([A-Z_]+)(=(\w+))?", documents.text_of(path)
    ):
        known = SECTIONS.get(section.lower(), ())
        if not any(key.lower() in one.model_fields for one in known):
            wrong.append(f"{section}__{key}")
        elif value and not accepts(key.lower(), value):
            wrong.append(f"{section}__{key}={value}")

    assert wrong == []


@each_guide
def test_defaults_beside_a_key_are_the_defaults(path):
    stated = re.findall(
        r"`(\w+)\.(\w+)`(?: \(| \| )default `?([^`\s);:,|]+)", documents.sentences_of(path)
    )

    wrong = [
        f"{section}.{key}: {value}"
        for section, key, value in stated
        if str(getattr(getattr(DEFAULTS, section), key)) != value
    ]

    assert wrong == []


def days(seconds: float) -> str:
    words = {1: "one day", 7: "seven days", 14: "14 days"}
    return words[round(seconds / 86_400)]


RECEIVE, SETTLING, RESULTS = DEFAULTS.receive, DEFAULTS.settling, DEFAULTS.results
STATEMENTS = {
    README: [f"AE title `{RECEIVE.ae_title}`, port {RECEIVE.port} of this machine"],
    DOCS / "install.md": [
        f"DICOM port ({RECEIVE.port}) open",
        f"`minimum_free_bytes` ({RECEIVE.minimum_free_bytes / 1e9:g} GB)",
        f"`receive.host` | default `{RECEIVE.host}`",
        f"(`CAP_NET_BIND_SERVICE`); {RECEIVE.port} does not",
    ],
    DOCS / "routing.md": [
        f"| AE title | `{RECEIVE.ae_title}` |",
        f"| host | {RECEIVE.host};",
        f"| port | {RECEIVE.port} |",
        f"retries for {days(DEFAULTS.retry.expire_seconds)} at growing intervals (`[retry]`)",
    ],
    DOCS / "ways" / "dicom_store.md": [
        f"complete {SETTLING.grace_seconds:g} s after its four standard views have arrived, "
        f"or {SETTLING.idle_seconds:g} s after its last image (`[settling]`)",
    ],
    DOCS / "ways" / "changes.md": [f"port = {DEFAULTS.hl7.port}"],
    DOCS / "objects.md": [
        f"`series_number_base` ({RESULTS.series_number_base})",
        f"and at {DEFAULT_SERIES_NUMBER_BASE} for `mammoclip-node render`",
        f"| `{DEFAULT_PROFILE}` (default) |",
    ],
    DOCS / "architecture.md": [
        f"lease in the ledger, {DEFAULTS.work.lease_seconds:g} s by default",
        f"A lease of {DEFAULTS.work.lease_seconds:g} s",
    ],
    DOCS / "troubleshooting.md": [f"`receive.host` (default {RECEIVE.host})"],
}


@pytest.mark.parametrize(
    ("path", "statement"),
    [(path, one) for path, statements in STATEMENTS.items() for one in statements],
    ids=lambda value: value.name if isinstance(value, Path) else value[:30],
)
def test_defaults_in_sentences_are_the_defaults(path, statement):
    assert statement in documents.sentences_of(path)


@each_guide
def test_commands_that_send_name_the_default_address(path):
    lines = "\n".join(documents.lines_of_code(path))
    titles = re.findall(r"(?:-aec |\[\"(?=\w+\", \"node))(\w+)", lines)
    ports = re.findall(r"node\.example\"?,? (\d+)", lines)

    assert {*titles, *map(int, ports)} <= {RECEIVE.ae_title, RECEIVE.port}


def profiles_in_words() -> Iterator[tuple[str, str, str]]:
    for name, words in documents.table_after(DOCS / "objects.md", "## Profiles"):
        yield "objects.md", re.sub(r"`| \(default\)", "", name), words
    for name, words in re.findall(r"^#   (\w+) {2,}(.+)$", DEFAULT_FILE.read_text(), re.MULTILINE):
        yield "default.toml", name, words


@pytest.mark.parametrize("file", ["objects.md", "default.toml"])
def test_profiles_are_those_of_the_node(file):
    assert {name for where, name, _ in profiles_in_words() if where == file} == set(PROFILES)


@pytest.mark.parametrize(("file", "name", "words"), [*profiles_in_words()])
def test_profiles_hold_the_kinds_that_are_named(file, name, words):
    on_request = {kind for kind in ResultKind if kind.row.is_on_request}
    if words.startswith("every kind"):
        assert PROFILES[name].objects == set(ResultKind) - on_request
        return

    titles = {re.sub(r" \(.*\)", "", word).lower().removesuffix("s") for word in words.split(", ")}
    assert titles == {kind.row.title.lower() for kind in PROFILES[name].objects}
    for report in re.findall(r"report \(([^)]+)\)", words):
        assert UID(PROFILES[name].report_sop_class_uid).name == f"{report} Storage"


def series_of(kind: ResultKind) -> str:
    number = RESULTS.series_number_base + kind.row.series_number
    return f"{number}001, {number}002, ..." if kind.row.has_series_per_image else str(number)


def test_kinds_of_object_are_those_of_the_node():
    rows = documents.table_after(DOCS / "objects.md", "## The objects")
    stated = {row[0]: row[1] for row in rows}

    assert stated == {
        f"{kind.row.title}{', on request' if kind.row.is_on_request else ''}": series_of(kind)
        for kind in ResultKind
    }


def test_series_in_the_readme_are_those_of_the_kinds():
    rows = documents.table_after(README, "### Results, in the same study")
    titles = {re.sub(r" \(.*\)", "", row[0]): row[2] for row in rows}
    series = {kind.row.title: series_of(kind) for kind in ResultKind}

    assert titles == {title: series[title] for title in titles}


def test_files_in_the_readme_are_named_by_their_kind():
    named = re.findall(r"\d{3}-(\w+)\.dcm", documents.text_of(README))

    assert set(named) <= set(ResultKind)


@each_guide
def test_profiles_of_commands_exist(path):
    named = re.findall(r"--profile ([a-z]+)\b", "\n".join(documents.lines_of_code(path)))

    assert set(named) <= set(PROFILES)
