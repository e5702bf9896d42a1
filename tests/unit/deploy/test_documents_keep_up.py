"""The documents name everything that a person may meet, and nothing that does not exist."""

import ast
import re
from pathlib import Path

import command_pages
import documents
import pytest
from typer.main import get_command

from dicom_node.facts.selection import LEFT_OUT_REASONS, MISSING_REASONS
from dicom_node.receive.arriving_object import STATUS_OF
from dicom_node.receive.upper_layer.pdus import AssociationEndedError
from dicom_node.spool.open_associations import NoPlaceError

TROUBLESHOOTING = documents.ROOT / "docs" / "troubleshooting.md"


def _words_in(path):
    """Yield the stable words of a module: text of small letters with hyphens, or of one of them."""
    for node in ast.walk(ast.parse((documents.ROOT / "dicom_node" / path).read_text())):
        if isinstance(node, ast.Constant):
            yield from re.findall(r"^[a-z]+(?:-[a-z]+)+$|^timeout$", str(node.value))


def _loud_events():
    """Yield the events of every warning and error that node and workers log."""
    for package in ("dicom_node", "worker"):
        for path in (documents.ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(
                        func=ast.Attribute(
                            value=ast.Name(id="log"), attr="warning" | "error" | "exception"
                        ),
                        args=[first, *_],
                    ):
                        words = [n.value for n in ast.walk(first) if isinstance(n, ast.Constant)]
                        yield from (word for word in words if isinstance(word, str))


REASONS = sorted(
    {
        reason
        for path in (documents.ROOT / "dicom_node").rglob("*.py")
        for reason in re.findall(r'SetAsideError\(\s*"([a-z-]+)"', path.read_text())
    }
    | {"file-lost"}  # of a row that was entered before its file was gone
)
COMMANDS = {
    (program, command.name): command
    for program in command_pages.PROGRAMS
    for command in command_pages.commands(program)
}

each_document = pytest.mark.parametrize("path", documents.ALL, ids=documents.name_of)
each_guide = pytest.mark.parametrize("path", documents.GUIDES, ids=documents.name_of)


def test_reasons_are_found_in_the_source():
    assert set(REASONS) >= MISSING_REASONS | LEFT_OUT_REASONS | {"unreadable-object"}


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_to_set_aside_is_explained(reason):
    assert f"| `{reason}` |" in documents.text_of(TROUBLESHOOTING)


def test_no_reason_is_explained_that_does_not_exist():
    rows = documents.table_after(TROUBLESHOOTING, "## An object was set aside")

    assert {row[0].strip("`") for row in rows} == set(REASONS)


REASONS_OF_RECEPTION = sorted(
    {error.reason for error in STATUS_OF}
    | {error.reason for error in (AssociationEndedError, *AssociationEndedError.__subclasses__())}
    | set(_words_in("receive/access.py"))
    | set(_words_in("receive/upper_layer/negotiation.py"))
    | set(_words_in("receive/upper_layer/lobby.py"))
    | set(_words_in("receive/upper_layer/acceptor.py"))
    | {NoPlaceError.reason}
)


def test_reasons_of_reception_are_found_in_the_source():
    assert {
        "timeout",
        "network-not-allowed",
        "local-limit-exceeded",
        "crowded-out",
        "node-stopped",
        "out-of-memory",
        "out-of-resources",
    } <= set(REASONS_OF_RECEPTION)


def test_every_reason_to_reject_abort_or_refuse_is_explained():
    rows = documents.table_after(TROUBLESHOOTING, "### Reasons in the log")

    assert {word for row in rows for word in re.findall(r"`([a-z-]+)`", row[0])} == set(
        REASONS_OF_RECEPTION
    )


def test_every_warning_and_error_of_the_log_is_explained():
    text = documents.text_of(TROUBLESHOOTING)

    assert [event for event in _loud_events() if f"`{event}" not in text] == []


@pytest.mark.parametrize("status", STATUS_OF.values())
def test_every_failure_status_is_explained(status):
    assert f"**0x{status:04X}**" in documents.text_of(TROUBLESHOOTING)


def test_messages_that_are_explained_are_those_of_the_node():
    rows = documents.table_after(TROUBLESHOOTING, "## The node does not start")
    source = re.sub(r"""["']\n\s*f?["']""", "", "\n".join(documents.sources().values()))
    parts = [part for row in rows for part in re.split(r"\s*\.\.\.\s*", row[0].strip("`")) if part]

    assert [part for part in parts if part.strip('"') not in source] == []


@each_document
def test_links_lead_to_files(path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", documents.text_of(path))

    missing = [target for target in targets if not (path.parent / target).exists()]

    assert missing == []


@each_document
def test_links_lead_to_headings(path):
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", documents.text_of(path))

    missing = [
        (target, heading)
        for target, heading in links
        if heading not in anchors_of(path.parent / target if target else path)
    ]

    assert missing == []


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", documents.text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@each_document
def test_files_exist(path):
    folders = "|".join(documents.FOLDERS)
    named = {
        name.rstrip("./")
        for line in documents.lines_of_code(path)
        for name in re.findall(rf"(?<![\w./-])(?:{folders})/[\w./-]+", line)
    }

    assert [name for name in sorted(named) if not (documents.ROOT / name).exists()] == []


@each_guide
def test_modules_exist(path):
    known = {source.name for source in documents.sources()}
    named = {name for span in documents.spans_of(path) for name in re.findall(r"\w+\.py\b", span)}

    assert named <= known


@each_guide
def test_names_of_code_stand_in_the_code(path):
    named = {span for span in documents.spans_of(path) if re.fullmatch(r"[a-z]+(_[a-z]+)+", span)}

    assert named - documents.names_in_sources() == set()


@each_document
def test_environment_variables_are_read(path):
    named = set(re.findall(r"\bMAMMOCLIP_(?!\w*__)\w*[A-Z]\b", documents.text_of(path)))

    assert named - documents.names_in_sources() == set()


@each_guide
def test_make_targets_exist(path):
    named = {
        name
        for line in documents.lines_of_code(path)
        for name in re.findall(r"^make ([a-z][a-z-]*)", line)
    }
    made = re.findall(
        r"^([a-z-]+):", (documents.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert named <= set(made)


@each_guide
def test_commands_exist(path):
    named = {(program, name) for program, name, _ in commands_in(path)}

    assert named <= set(COMMANDS)


@each_guide
def test_options_exist_in_their_command(path):
    unknown = [
        f"{program} {name} {option}"
        for program, name, rest in commands_in(path)
        for option in options_in(rest)
        if (program, name) in COMMANDS and not COMMANDS[program, name].knows(option)
    ]

    assert unknown == []


@each_guide
def test_options_that_stand_alone_exist_in_some_command(path):
    files = [file for file in documents.sources() if file.parent.name == "benchmarks"]
    of_programs = {
        option
        for program in command_pages.PROGRAMS.values()
        for parameter in get_command(program).params
        for option in parameter.opts
    }
    of_benchmarks = {option for file in files for option in options_of_benchmark(file)}
    unknown = [
        option
        for span in documents.spans_of(path)
        if span.startswith("--")
        for option in options_in(span)
        if option not in of_programs | of_benchmarks
        and not any(command.knows(option) for command in COMMANDS.values())
    ]

    assert unknown == []


@each_guide
def test_options_of_benchmarks_exist(path):
    unknown = [
        f"{file} {option}"
        for line in documents.lines_of_code(path)
        for file, rest in re.findall(r"\bbenchmarks/(\w+\.py)(.*)", line)
        for option in options_in(rest)
        if option not in options_of_benchmark(documents.ROOT / "benchmarks" / file)
    ]

    assert unknown == []


def commands_in(path: Path) -> list[tuple[str, str, str]]:
    """Return each command that a document spells out: program, command, and what follows."""
    programs = "|".join(command_pages.PROGRAMS)
    groups = "|".join({name.split()[0] for _, name in COMMANDS if " " in name}) or "$^"
    name = rf"(?:{groups}) [a-z][a-z-]+|[a-z][a-z-]+"
    return [
        match
        for line in documents.lines_of_code(path)
        for match in re.findall(
            rf"(?<![\w/-])(?:\.venv/bin/)?({programs}) ({name})(?=\s|$)(.*)", line
        )
    ]


def options_of_benchmark(file: Path) -> set[str]:
    """Return the long options that Typer makes of the parameters of its ``main``."""
    functions = [
        node
        for node in ast.parse(documents.sources()[file]).body
        if isinstance(node, ast.FunctionDef)
    ]
    parameters = [
        parameter.arg
        for function in functions
        if function.name == "main"
        for parameter in (*function.args.args, *function.args.kwonlyargs)
    ]
    return {f"--{name.replace('_', '-')}" for name in parameters}


def options_in(text: str) -> list[str]:
    """Return the long options of a command line."""
    return re.findall(r"(?:^|\s)(--[a-z][\w.-]*)", text)
