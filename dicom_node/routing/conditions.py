"""Conditions of rules in CEL, the Common Expression Language: checked before use, never `eval`.

The library checks types before a condition is used, evaluates without loops or assignments, counts
the steps of macros over lists, and matches regular expressions in linear time (RE2).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cached_property
from typing import Any, Final

from cel_expr_python import cel


class Kind(Enum):
    """The type of a value that conditions speak of."""

    TEXT = "text"
    TEXTS = "list of text"
    NUMBER = "number"
    NUMBERS = "list of numbers"
    COUNT = "whole number"
    CLAIM = "true or false"
    SCORES = "numbers by name"


Value = str | float | bool | Sequence[str] | Sequence[float] | Mapping[str, float]

_TYPES: Final[dict[Kind, tuple[Any, Any]]] = {
    Kind.TEXT: (cel.Type.STRING, cel.Type.STRING),
    Kind.TEXTS: (cel.Type.List(cel.Type.STRING), cel.Type.List(cel.Type.STRING)),
    Kind.NUMBER: (cel.Type.DOUBLE, cel.Type.DYN),
    Kind.NUMBERS: (cel.Type.List(cel.Type.DOUBLE), cel.Type.List(cel.Type.DYN)),
    Kind.COUNT: (cel.Type.INT, cel.Type.INT),
    Kind.CLAIM: (cel.Type.BOOL, cel.Type.BOOL),
    Kind.SCORES: (
        cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
        cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    ),
}
"""For each kind the type that conditions are checked by, and the one that they are evaluated by.

CEL compares a fraction with a whole number when it evaluates, and refuses to when it checks types:
``age >= 40`` would have to be written ``age >= 40.0``.
"""

_MISTAKE: Final = re.compile(
    r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \||\nERROR:| \[[A-Z_]+\]$|$)", re.S
)
_FRACTION_AND_WHOLE: Final = re.compile(
    r"found no matching overload for '(_(?:<|<=|>|>=|==|!=)_|@in)' applied to "
    r"'\((double, int|int, double|double, list\(int\)|int, list\(double\))\)'"
)
_UNKNOWN: Final = re.compile(r"undeclared reference to '([^']*)'")
_PATTERN: Final = re.compile(r"""matches\s*\(\s*([rR]?(?:'[^'\n]*'|"[^"\n]*"))\s*\)""")
_TOKEN: Final = re.compile(
    r"""(?P<text>[rRbB]{0,2}(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"
        |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
    |(?P<comment>//[^\n]*)
    |(?P<name>[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*)
    |(?P<operator>&&|\|\||[?:()\[\]{}])
    |(?P<other>.)""",
    re.X | re.S,
)


class ConditionError(Exception):
    """A condition is wrong; its text says where in it and how, one mistake a line."""


class EvaluationError(Exception):
    """A condition cannot be evaluated for one study, as where it divides by zero."""


@dataclass(frozen=True)
class Condition:
    """One condition that was checked.

    Parameters
    ----------
    text : as written
    names : what it speaks of, in the order in which it is named first
    """

    text: str
    names: tuple[str, ...]
    _compiled: Any

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Evaluate the condition.

        Parameters
        ----------
        values : of at least its `names`

        Raises
        ------
        EvaluationError
            It cannot be evaluated with these values, or takes too many steps.
        """
        try:
            answer = self._compiled.eval(data={name: values[name] for name in self.names})
            found = answer.plain_value()
        except RuntimeError as error:
            raise EvaluationError(_without_values(str(error))) from None
        if not isinstance(found, bool):
            raise EvaluationError(_without_values(str(found)))
        return found

    @cached_property
    def always(self) -> bool | None:
        """What a condition that speaks of nothing says; None if it speaks of something."""
        try:
            return self.holds({}) if not self.names else None
        except EvaluationError:
            return False


def parts_of(text: str) -> list[str]:
    """Split a condition at each ``&&`` of its outermost level, for its parts to be told apart."""
    parts, depth, start = [], 0, 0
    for token in _TOKEN.finditer(text):
        match token["operator"]:
            case "(" | "[" | "{":
                depth += 1
            case ")" | "]" | "}":
                depth -= 1
            case "||" | "?" if depth == 0:
                return [text.strip()]  # `a && b || c` is no list of conditions
            case "&&" if depth == 0:
                parts.append(text[start : token.start()])
                start = token.end()
    return [part.strip() for part in (*parts, text[start:])]


def names_in(text: str) -> list[str]:
    """List the names that a condition uses, with what follows them after a point."""
    found = (re.sub(r"\s", "", token["name"]) for token in _TOKEN.finditer(text) if token["name"])
    return list(dict.fromkeys(found))


def checked(
    text: str, kinds: Mapping[str, Kind], *, suggestions: Callable[[], Iterable[str]] = tuple
) -> Condition:
    """Check a condition.

    Parameters
    ----------
    kinds : everything that it may speak of
    suggestions : lists further names to propose for one that is unknown

    Raises
    ------
    ConditionError
        It is no CEL, speaks of what is not known, or compares what cannot be compared.
    """
    used = names_in(text)
    names = [
        name for name in kinds if any(one == name or one.startswith(f"{name}.") for one in used)
    ]
    mistakes = [
        mistake
        for mistake in _mistakes(text, {name: _TYPES[kinds[name]][0] for name in names})
        if not _FRACTION_AND_WHOLE.search(mistake)
    ]
    types = {name: _TYPES[kinds[name]][1] for name in names}
    mistakes = mistakes or list(_mistakes(text, types)) or list(_wrong_patterns(text))
    if mistakes:
        words = [_in_words(one, kinds, suggestions) for one in mistakes]
        raise ConditionError("\n".join(dict.fromkeys(words)))
    compiled = cel.NewEnv(variables=types).compile(text)
    if compiled.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise ConditionError("column 1: the condition is neither true nor false")
    return Condition(text=text, names=tuple(names), _compiled=compiled)


def _mistakes(text: str, types: Mapping[str, Any]) -> Iterator[str]:
    try:
        cel.NewEnv(variables=dict(types)).compile(text)
    except RuntimeError as error:
        found = list(_MISTAKE.finditer(str(error)))
        if not found:
            yield _without_status(str(error))
        for one in found:
            line, column = int(one[1]), int(one[2])
            where = f"line {line}, column {column}" if line > 1 else f"column {column}"
            yield f"{where}: {one[3]}" if line > 0 else one[3]


def _wrong_patterns(text: str) -> Iterator[str]:
    """Say what is wrong with regular expressions, which the library finds when it evaluates."""
    for found in _PATTERN.finditer(text):
        answer = cel.NewEnv().compile(f"''.matches({found[1]})").eval().plain_value()
        if not isinstance(answer, bool):
            yield f"column {found.start(1) + 1}: {_without_status(str(answer))}"


def _in_words(mistake: str, known: Iterable[str], suggestions: Callable[[], Iterable[str]]) -> str:
    """Say what is wrong without the words of the library's inside."""
    if unknown := _UNKNOWN.search(mistake):
        name = unknown[1]
        close = get_close_matches(name, [*known, *suggestions()], n=1, cutoff=0.75)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{mistake[: unknown.start()]}nothing is called {name}{hint}"
    overload = re.search(r"found no matching overload for '(.*?)' applied to '\((.*)\)'", mistake)
    if overload:
        operator = overload[1].strip("_@")
        types = overload[2].replace("double", "number").replace("int", "whole number")
        types = types.replace("string", "text").replace("bool", "true or false")
        return f"{mistake[: overload.start()]}{operator} does not apply to ({types})"
    return mistake.removesuffix("(in container '')").strip()


def _without_values(text: str) -> str:
    """Say why a condition could not be evaluated, without what the library quotes of an image."""
    return _without_status(text).split(":")[0].strip()


def _without_status(text: str) -> str:
    text = re.sub(r"^[A-Z_]+: ", "", text)
    return re.sub(r" \[[A-Z_]+\]$", "", text).split("\n")[0]
