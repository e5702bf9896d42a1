"""A file of prompts in place of a bundle's own: pairs, class sets and ensembles."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mammoclip_core.errors import PromptFileError
from mammoclip_core.findings import FindingSource
from mammoclip_core.lexicon import DEFAULT_FINDINGS
from mammoclip_core.manifest import SCORINGS, FindingEntry

_PAIR_KEYS: Final = frozenset({"negative", "positive", "threshold", "code"})
_CLASS_KEYS: Final = frozenset({"classes", "negative_classes", "code"})
_MAX_TEXTS: Final = 1000
_MAX_CHARACTERS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """The findings whose prompts a file names.

    Attributes
    ----------
    scoring : ``published``, ``tempered``, or None for the bundle's own
    """

    findings: tuple[FindingEntry, ...]
    scoring: str | None = None


def read_prompt_file(path: Path) -> PromptSet:
    """Read prompts from TOML or JSON, chosen by the file name extension.

    ``[findings.NAME]`` holds ``negative`` and ``positive``, or ``classes`` by label; each a text
    or a list of texts (an ensemble, whose embeddings are averaged), and if need be ``threshold``
    and ``code``. In short, a file may be ``{"NAME": ["no mass", "mass"]}``; more than two texts
    are classes. ``negative_classes`` lists those that are no finding, where their labels do not say
    so, as ``normal`` and ``benign`` do. ``scoring`` at the top is ``published`` or ``tempered``.

    Raises
    ------
    PromptFileError
        The file is not of this form.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except ValueError as error:
        raise PromptFileError(f"{path.name} is neither JSON nor TOML: {error}") from error
    try:
        return _prompt_set_from(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PromptFileError(f"{path.name} is no prompt file: {error}") from error


def _prompt_set_from(document: Mapping[str, Any]) -> PromptSet:
    if "findings" not in document:
        document = {"findings": document}
    surplus = document.keys() - {"findings", "scoring"}
    scoring = document.get("scoring")
    if surplus or scoring not in {None, *SCORINGS}:
        raise ValueError(f"unknown {', '.join(sorted(surplus)) or f'scoring {scoring!r}'}")
    entries = tuple(_entry_from(name, value) for name, value in document["findings"].items())
    if not entries:
        raise ValueError("it names no finding")
    if sum(len(texts) for entry in entries for texts in entry.ensembles) > _MAX_TEXTS:
        raise ValueError(f"more than {_MAX_TEXTS} texts")
    return PromptSet(findings=entries, scoring=scoring)


def _entry_from(name: str, value: Any) -> FindingEntry:
    if isinstance(value, list):
        value = _long_form(name, value)
    is_class_set = "classes" in value
    surplus = value.keys() - (_CLASS_KEYS if is_class_set else _PAIR_KEYS)
    if surplus:
        raise ValueError(f"{name}: unknown {', '.join(sorted(surplus))}")
    sides = (
        value["classes"]
        if is_class_set
        else {"negative": value["negative"], "positive": value["positive"]}
    )
    ensembles = tuple(_texts(name, texts) for texts in sides.values())
    if is_class_set and len(ensembles) < 3:
        raise ValueError(f"{name}: {len(ensembles)} classes; a class set needs at least 3")
    threshold = float(value.get("threshold", 0.5))
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"{name}: threshold {threshold} outside [0, 1]")
    return FindingEntry(
        name=name,
        code=str(value.get("code", _known_code(name))),
        source=FindingSource.PROMPT,
        prompts=tuple(texts[0] for texts in ensembles),
        ensembles=ensembles,
        labels=tuple(map(str, sides)) if is_class_set else (),
        negative_labels=tuple(map(str, value.get("negative_classes", ()))) if is_class_set else (),
        threshold=threshold,
        own_prompts=True,
    )


def _long_form(name: str, texts: list[Any]) -> dict[str, Any]:
    if len(texts) < 2:
        raise ValueError(f"{name}: a pair needs a negative and a positive text")
    if len(texts) == 2:
        return {"negative": texts[0], "positive": texts[1]}
    return {"classes": {str(number): text for number, text in enumerate(texts, start=1)}}


def _texts(name: str, value: Any) -> tuple[str, ...]:
    texts = tuple(value) if isinstance(value, list) else (value,)
    if not texts or not all(
        isinstance(text, str) and 0 < len(text.strip()) <= _MAX_CHARACTERS for text in texts
    ):
        raise ValueError(f"{name}: each side must be a text or a list of texts")
    return texts


def _known_code(name: str) -> str:
    codes = {entry.name: entry.code for entry in DEFAULT_FINDINGS}
    return codes.get(name, f"99MAMMOCLIP|{name}|{name}")
