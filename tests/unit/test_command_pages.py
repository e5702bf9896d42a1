"""docs/commands says of each command what the command itself says."""

import re
import tomllib
from itertools import pairwise

import command_pages
import pytest
from typer.testing import CliRunner

COMMANDS = [
    command for program in command_pages.PROGRAMS for command in command_pages.commands(program)
]


@pytest.mark.parametrize("program", command_pages.PROGRAMS)
def test_page_of_commands_is_up_to_date(program: str) -> None:
    written = (command_pages.FOLDER / f"{program}.md").read_text(encoding="utf-8")

    assert written == command_pages.page(program) + "\n", "run: make docs"


def test_every_program_that_is_installed_has_its_page() -> None:
    text = (command_pages.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    programs = tomllib.loads(text)["project"]["scripts"]

    assert sorted(path.stem for path in command_pages.FOLDER.iterdir()) == sorted(programs)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: f"{one.program} {one.name}")
def test_every_command_and_each_of_its_parameters_says_what_it_is(
    command: command_pages.Command,
) -> None:
    silent = [one.names[0] for one in command.parameters if not one.help]

    assert command.help
    assert silent == []


@pytest.mark.parametrize("program", command_pages.PROGRAMS)
def test_paragraphs_of_a_help_end_where_the_terminal_does(program: str) -> None:
    names = [one.name.split() for one in COMMANDS if one.program == program]
    for words in names:
        page = CliRunner().invoke(
            command_pages.PROGRAMS[program], [*words, "--help"], env={"COLUMNS": "80"}
        )
        prose = page.output.partition("Usage:")[2].partition("╭")[0]
        paragraphs = [
            [line.strip() for line in part.splitlines()] for part in re.split(r"\n *\n", prose)
        ]
        # The first word of a line had no room in the line before.
        early = [
            (line, after)
            for lines in paragraphs[1:]
            for line, after in pairwise(lines)
            if after and len(line) + 1 + len(after.split()[0]) <= 76
        ]
        assert early == [], words


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: f"{one.program} {one.name}")
def test_no_word_of_a_help_is_taken_for_a_style(command: command_pages.Command) -> None:
    texts = [command.help, *(one.help for one in command.parameters)]

    lost = [found for text in texts for found in re.findall(r"(?<!\\)\[/?[a-z_ ]+\]", text)]

    assert lost == [], "a terminal shows nothing of a word in brackets: rich reads it as a style"
