"""The pages of docs/commands, made from the commands' definitions; ``make docs`` writes them."""

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from typer import Typer
from typer.main import get_command

from dicom_node.commands import node
from dicom_node.commands.remote.choosing import NEED_NO_NODE
from dicom_node.commands.remote.commands import ELSEWHERE
from mammoclip_core.commands import predict
from training.commands import train

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs" / "commands"
PROGRAMS: Final[dict[str, Typer]] = {
    "mammoclip-node": node.app,
    "mammoclip-predict": predict.app,
    "mammoclip-train": train.app,
}

LIGHTNING: Final = "https://lightning.ai/docs/pytorch/stable/common/trainer.html"
LIGHTNINGS_OPTIONS: Final = frozenset({"--config", "--print_config", "--seed_everything"})
"""What Lightning's command line adds to ``pretrain``, besides ``--trainer.NAME``."""

_WORDS: Final[dict[Any, str]] = {str: "text", int: "integer", float: "number"}


@dataclass(frozen=True)
class Parameter:
    """One argument or option as its row in a table says it."""

    names: tuple[str, ...]
    kind: str
    default: str
    variable: str
    help: str
    is_option: bool
    is_required: bool
    is_repeatable: bool

    @property
    def usage(self) -> str:
        """Return how the usage line writes it."""
        name = self.names[0]
        if self.is_option:
            return f"{name} {name.strip('-').upper()}"
        dots = "..." if self.is_repeatable else ""
        return f"{name}{dots}" if self.is_required else f"[{name}{dots}]"

    @property
    def row(self) -> str:
        """Return its row, whose cells hold no line break and no bar."""
        names = ", ".join(f"`{name}`" for name in self.names)
        kind = f"{self.kind}, repeatable" if self.is_repeatable else self.kind
        default = "required" if self.is_required else _code(self.default)
        cells = (names, kind, default, _code(self.variable), self.help)
        return f"| {' | '.join(_cell(cell) for cell in cells)} |"


@dataclass(frozen=True)
class Command:
    """One command: its help and its parameters."""

    program: str
    name: str
    help: str
    _of: Any

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return its parameters: those of pretraining need its libraries, which take seconds."""
        return tuple(_parameters(self.name, self._of))

    def knows(self, option: str) -> bool:
        """Return whether the command has this option."""
        if any(option in one.names for one in self.parameters) or option == "--help":
            return True
        is_lightnings = option in LIGHTNINGS_OPTIONS or option.startswith("--trainer.")
        return self.name == "pretrain" and is_lightnings

    def section(self) -> str:
        """Return the section of its page."""
        needed = [one.usage for one in self.parameters if one.is_option and one.is_required]
        arguments = [one.usage for one in self.parameters if not one.is_option]
        usage = " ".join([self.program, self.name, *needed, "[OPTIONS]", *arguments])
        parts = [f"## {self.name}", f"```\n{usage}\n```", *_paragraphs(self.help)]
        if self.name == "pretrain":
            parts.append(
                "The settings of model and data are options, and keys of the file that `--config`"
                f" names. `--trainer.NAME` sets an option of [Lightning's Trainer]({LIGHTNING}),"
                " `--seed_everything` the random seed; `--print_config` prints all settings."
            )
        if self.parameters:
            parts.append(_table(self.parameters))
        return "\n\n".join(parts)


def commands(program: str) -> tuple[Command, ...]:
    """Return the commands of a program, in the order of its help; those of a group by two words."""
    return tuple(
        Command(program, name, inspect.cleandoc(one.help or ""), one)
        for name, one in _named(get_command(PROGRAMS[program]))
    )


def _named(group: Any, words: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from _named(one, f"{name} ")
        else:
            yield words + name, one


def page(program: str) -> str:
    """Return the text of a program's page."""
    group: Any = get_command(PROGRAMS[program])
    known = commands(program)
    head = ["command", "purpose"]
    listing = [
        [f"[{one.name}](#{one.name.replace(' ', '-')})", _cell(_first_line(one.help))]
        for one in known
    ]
    if PROGRAMS[program] is node.app:
        head.append("with `--node`")
        for cells, one in zip(listing, known, strict=True):
            cells.append(_where(one.name))
    before = [one for one in _parameters("", group) if "--version" not in one.names]
    return "\n\n".join(
        [
            f"# {program}",
            "<!-- `make docs` writes this page from the program's own help: change it there. -->",
            *_paragraphs(group.help),
            f"`{program} COMMAND --help` prints this for one command,"
            f" `{program} --version` the version.",
            *(["Options before the command:", _table(before)] if before else []),
            "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *listing]),
            *(one.section() for one in known),
        ]
    )


def _where(name: str) -> str:
    """Return where a command of mammoclip-node is done with ``--node``."""
    if name in ELSEWHERE:
        return "at that node"
    return "here: it needs no node" if name in NEED_NO_NODE else "refused"


def write() -> None:
    """Bring all pages up to date."""
    FOLDER.mkdir(exist_ok=True)
    for program in PROGRAMS:
        (FOLDER / f"{program}.md").write_text(page(program) + "\n", encoding="utf-8")


def _parameters(name: str, command: Any) -> Iterator[Parameter]:
    if name == "pretrain":
        yield from _pretraining_settings()
        return
    # Typer's own classes for types differ from version to version; annotations do not.
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    for one in command.params:
        if one.name not in hints or getattr(one, "hidden", False):
            continue
        is_option = one.opts[0].startswith("-")
        annotation, info = _annotated(hints[one.name])
        is_repeatable = get_origin(annotation) is list
        yield Parameter(
            names=(*one.opts, *one.secondary_opts) if is_option else (one.name.upper(),),
            kind=(kind := _kind(annotation, info)),
            default=_default(one.default, kind),
            variable=" ".join([one.envvar] if isinstance(one.envvar, str) else one.envvar or []),
            help=one.help or "",
            is_option=is_option,
            is_required=bool(one.required),
            is_repeatable=is_repeatable,
        )


def _pretraining_settings() -> Iterator[Parameter]:
    """Yield what jsonargparse makes of the parameters of the model and of its data."""
    from lightning.pytorch.cli import LightningArgumentParser

    from training.pretraining.data_module import PretrainingData
    from training.pretraining.pretraining_module import Pretraining
    from training.pretraining.pretraining_run import _CommandLine

    parser = LightningArgumentParser()
    add_own: Callable[..., None] = _CommandLine.add_arguments_to_parser
    add_own(None, parser)
    parser.add_lightning_class_args(Pretraining, "model")
    parser.add_lightning_class_args(PretrainingData, "data")
    for action in parser._actions:
        # Groups, and the options that print help, have no value of their own.
        if action.default == "==SUPPRESS==" or not action.option_strings:
            continue
        annotation, info = _annotated(getattr(action, "_typehint", None) or str)
        yield Parameter(
            names=(action.option_strings[0],),
            kind=(kind := _kind(annotation, info)),
            default=_default(action.default, kind),
            variable="",
            help=(action.help or "").replace("``", "`"),
            is_option=True,
            is_required=False,
            is_repeatable=False,
        )


def _annotated(hint: Any) -> tuple[Any, Any]:
    """Return the type without None, and what Typer is told of it."""
    info = None
    if get_origin(hint) is Annotated:
        hint, info = get_args(hint)[:2]
    if get_origin(hint) in {Union, types.UnionType}:
        hint = next(one for one in get_args(hint) if one is not type(None))
    return hint, info


def _kind(annotation: Any, info: Any) -> str:
    """Return the words for a type; of a list, for one of its items unless they are tables."""
    origin = get_origin(annotation)
    if origin is list:
        item = get_args(annotation)[0]
        return f"list of {_kind(item, info)}" if is_dataclass(item) else _kind(item, info)
    if origin is dict:
        return "table"
    return _choices(get_args(annotation)) if origin is Literal else _kind_of_one(annotation, info)


def _kind_of_one(annotation: Any, info: Any) -> str:
    if annotation is bool:
        return "flag" if info is not None else "true or false"
    if annotation is Path:
        return _kind_of_path(info)
    if is_dataclass(annotation):
        return f"table of {', '.join(f'`{field.name}`' for field in fields(annotation))}"
    if issubclass(annotation, Enum):
        return _choices([one.value for one in annotation])
    return f"{_WORDS[annotation]}{_bounds(info)}"


def _choices(values: Sequence[Any]) -> str:
    return " or ".join(", ".join(f"`{value}`" for value in values).rsplit(", ", 1))


def _kind_of_path(info: Any) -> str:
    if not getattr(info, "dir_okay", True):
        return "file"
    return "path" if getattr(info, "file_okay", True) else "folder"


def _bounds(info: Any) -> str:
    least, most = getattr(info, "min", None), getattr(info, "max", None)
    if least is not None and most is not None:
        return f", {least} to {most}"
    if least is not None:
        return f", at least {least}"
    return "" if most is None else f", at most {most}"


def _default(value: Any, kind: str) -> str:
    if value is None or value in ([], {}, ()) or (kind == "flag" and not value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value if isinstance(value, Enum) else value)


def _table(parameters: Sequence[Parameter]) -> str:
    head = "| argument or option | type | default | environment variable | meaning |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *(one.row for one in parameters)])


def _paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a help text, examples as code."""
    lines = [" ".join(one.split()) for one in inspect.cleandoc(text).split("\n\n")]
    return [
        f"```\n{line.removeprefix('Example: ')}\n```" if line.startswith("Example: ") else line
        for line in lines
    ]


def _first_line(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


if __name__ == "__main__":
    write()
