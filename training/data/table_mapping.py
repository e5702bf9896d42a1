"""A mapping file: what the columns and words of any table mean."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

from training.data.mapped_terms import Term, terms_of
from training.data.table_cells import age, plain, side, texts, whole
from training.errors import SettingsError

UNKNOWN: Final = -1
"""A label that the table does not give."""

TRAINING: Final = "training"
TEST: Final = "test"
HELD_OUT: Final = "held out"

FIELDS: Final = (
    "image",
    "patient",
    "laterality",
    "view",
    "split",
    "fold",
    "age",
    "machine",
    "report",
)
IMAGE_IS: Final = ("path", "name", "prefix", "folder", "header")
_SPLITS: Final[Mapping[str, str]] = {
    "train": TRAINING,
    "training": TRAINING,
    "test": TEST,
    "testing": TEST,
    "val": HELD_OUT,
    "valid": HELD_OUT,
    "validation": HELD_OUT,
    "held out": HELD_OUT,
}
_YES_OR_NO: Final = {"0": 0, "1": 1, "false": 0, "true": 1}
_YES_OR_NO_FINDINGS: Final = ("mass", "suspicious_calcification", "malignancy")
"""What built-in tasks and bundles answer by one probability."""

_OTHERWISE: Final = {"negative": 0, "positive": 1, "unknown": UNKNOWN}
_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "image_is": IMAGE_IS,
    "several_rows": ("refuse", "highest"),
    "patient_in_two_splits": ("refuse", "training"),
}
_PLAIN_KEYS: Final = {*_RULES, "folds", "patient_in_file_name"}
_TABLES: Final = {"columns", "values", "labels", "terms", "files", "only", "join"}
_LABEL_KEYS: Final = {
    "column",
    "positive",
    "negative",
    "unknown",
    "classes",
    "otherwise",
    "optional",
    "list",
    "of_examination",
}

_TAKEN: Final = {
    *FIELDS,
    *("line", "file", "part", "breast", "side"),
    *("patient_id", "image_id", "sop_instance_uid", "machine_id"),
}
"""What an image's other columns are called."""

Names = tuple[str, ...]
"""A column, under any of its names: the first that the table has is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label: its column, and what each word in it means.

    Attributes
    ----------
    codes : word to 0 or 1, to a class, or to `UNKNOWN`
    classes : words of the classes in their order; empty of a yes or no
    otherwise : what any other word means; None where it is an error
    optional : a table without the column just lacks the label
    list_sign : what parts the words of a cell that holds several, of which the highest counts
    of_examination : rows of a second table say it of both breasts, whatever side they are about
    """

    column: Names
    codes: Mapping[str, int]
    classes: tuple[str, ...] = ()
    otherwise: int | None = None
    optional: bool = False
    list_sign: str = ""
    of_examination: bool = False

    def value(self, cell: str) -> int:
        """Return what a cell says; raises ValueError where no word of the mapping fits."""
        if self.list_sign and cell.strip():
            words = words_of(cell, self.list_sign)
            return max((self._value(word) for word in words), default=UNKNOWN)
        return self._value(cell)

    def _value(self, cell: str) -> int:
        word = plain(cell)
        if word in self.codes:
            return self.codes[word]
        if self.otherwise is not None:
            return self.otherwise
        if not word:
            return UNKNOWN
        raise ValueError(f"{cell!r} is none of the values that the mapping names")


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A second table with the labels: its rows belong to images by shared columns.

    Attributes
    ----------
    file : its name, in the folder of the table
    on : columns that both have
    laterality : its column of sides; a row of both sides, or of none, is about both breasts
    """

    file: str
    on: Names
    laterality: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMapping:
    """What a mapping file says; docs/researchers.md describes the file.

    Attributes
    ----------
    columns : of `FIELDS`
    values : field to word to its meaning
    terms : label to slot of the lexicon to its column and words
    files : name to split of files that are one table together; an empty split says nothing
    only : column to the words that are kept; other rows are left out
    """

    name: str
    columns: Mapping[str, Names]
    labels: Mapping[str, Label]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    terms: Mapping[str, Mapping[str, Term]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, Names] = field(default_factory=dict)
    join: Join | None = None
    image_is: str = "path"
    several_rows: str = "refuse"
    patient_in_two_splits: str = "refuse"
    patient_in_file_name: str = ""
    folds: int = 0

    def meaning(self, name: str, cell: str) -> str:
        """Return what a cell of a field says; raises ValueError where it says nothing known."""
        given = self.values.get(name, {})
        cell = given.get(plain(cell), cell.strip())
        if name == "laterality":
            return side(cell) if cell else ""
        if name == "split":
            return part_of(cell)
        if name == "fold":
            return str(whole(cell))
        if name == "age":
            age(cell)
        if name == "patient" and not cell:
            raise ValueError("is empty")
        return cell


def part_of(cell: str) -> str:
    """Return the part of a split that a word means; raises ValueError where it means none."""
    if cell.lower() not in _SPLITS:
        raise ValueError(f"{cell!r} is none of {', '.join(_SPLITS)}")
    return _SPLITS[cell.lower()]


def words_of(cell: str, sign: str) -> tuple[str, ...]:
    """Return the words of a list, ``['a', 'b']`` or ``a;b``; raises ValueError where it is none."""
    return texts(cell.strip()) if cell.strip().startswith("[") else tuple(cell.split(sign))


def shipped_mappings() -> tuple[str, ...]:
    """Return the names of the mappings that come with the package."""
    folder = resources.files("training.data.mappings")
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")))


def read_mapping(name_or_file: str) -> TableMapping:
    """Read a mapping: a TOML or YAML file, or the name of one of `shipped_mappings`.

    Raises
    ------
    SettingsError
        There is no such mapping, or it says something that is not known.
    """
    shipped = shipped_mappings()
    if name_or_file in shipped:
        resource = resources.files("training.data.mappings") / f"{name_or_file}.toml"
        return _mapping_of(name_or_file, tomllib.loads(resource.read_text(encoding="utf-8")))
    path = Path(name_or_file)
    if not path.is_file():
        raise SettingsError(
            f"--mapping {name_or_file}: there is no such file, and the mappings of the package are "
            f"{', '.join(shipped)}"
        )
    try:
        content = _content_of(path)
    except ValueError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    return _mapping_of(str(path), content)


def _content_of(path: Path) -> Any:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() in {".yaml", ".yml"}:
        import yaml  # type: ignore[import-untyped]

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from error
    return tomllib.loads(text)


def _mapping_of(name: str, content: Any) -> TableMapping:
    try:
        return _checked(name, content)
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsError(f"mapping {name}: {error}") from error


def _checked(name: str, content: Any) -> TableMapping:
    if not isinstance(content, Mapping):
        raise TypeError("it holds no tables [columns] and [labels]")
    _known("it", content, _PLAIN_KEYS | _TABLES)
    for key, allowed in _RULES.items():
        if content.get(key, allowed[0]) not in allowed:
            raise ValueError(f"{key} = {content[key]!r} is none of {', '.join(allowed)}")
    columns = {key: _names(value) for key, value in content.get("columns", {}).items()}
    _known("[columns]", columns, set(FIELDS))
    by_header = content.get("image_is") == "header"
    if "image" not in columns and not by_header:
        raise ValueError('[columns] names no image, and image_is is not "header"')
    if "patient" not in columns and not content.get("patient_in_file_name"):
        raise ValueError("[columns] names no patient, and there is no patient_in_file_name")
    labels = {key: _label(key, value) for key, value in content.get("labels", {}).items()}
    values = {
        key: {plain(_word(word)): _word(meaning) for word, meaning in given.items()}
        for key, given in content.get("values", {}).items()
    }
    _known("[values]", values, set(FIELDS))
    join = content.get("join")
    if join is not None:
        _known("[join]", join, {"file", "on", "laterality"})
        if "file" not in join or "on" not in join:
            raise ValueError("[join] needs file and on")
        join = Join(file=join["file"], on=_names(join["on"]), laterality=join.get("laterality", ""))
    folds = content.get("folds", 0)
    if not isinstance(folds, int) or folds < 0 or folds == 1:
        raise ValueError(f"folds = {folds!r} is neither 0 nor a whole number above 1")
    return TableMapping(
        name=name,
        columns=columns,
        labels=labels,
        values=values,
        terms=terms_of(content.get("terms", {}), labels),
        files=content.get("files", {}),
        only={
            key: tuple(map(plain, _names(item))) for key, item in content.get("only", {}).items()
        },
        join=join,
        folds=folds,
        patient_in_file_name=content.get("patient_in_file_name", ""),
        **{key: content.get(key, allowed[0]) for key, allowed in _RULES.items()},
    )


def _label(name: str, given: Mapping[str, Any]) -> Label:
    _known(f"[labels.{name}]", given, _LABEL_KEYS)
    if "column" not in given:
        raise ValueError(f"[labels.{name}] names no column")
    if name in _TAKEN:
        raise ValueError(f"[labels.{name}]: the name is taken; call the label something else")
    if not name.isidentifier():
        raise ValueError(f"[labels.{name}]: a label is named by letters, digits and _")
    classes: tuple[str, ...] = ()
    if "classes" in given:
        words = [_names(item) for item in given["classes"]]
        if len(words) < 2:
            raise ValueError(f"[labels.{name}]: classes are two or more")
        classes = tuple(item[0] for item in words)
        pairs = [(word, place) for place, item in enumerate(words) for word in item]
    else:
        pairs = [(word, 1) for word in _names(given.get("positive", []))]
        pairs += [(word, 0) for word in _names(given.get("negative", []))]
        pairs = pairs or list(_YES_OR_NO.items())
    _require_kind(name, classes)
    pairs += [(word, UNKNOWN) for word in _names(given.get("unknown", []))]
    codes: dict[str, int] = {}
    for word, code in pairs:
        if codes.setdefault(plain(word), code) != code:
            raise ValueError(f"[labels.{name}]: {word!r} is given two meanings")
    listed = given.get("list", False)
    otherwise = given.get("otherwise")
    if otherwise is not None and otherwise not in _OTHERWISE:
        raise ValueError(f"[labels.{name}]: otherwise is one of {', '.join(_OTHERWISE)}")
    return Label(
        column=_names(given["column"]),
        codes=codes,
        classes=classes,
        otherwise=None if otherwise is None else _OTHERWISE[otherwise],
        optional=bool(given.get("optional", False)),
        list_sign=listed if isinstance(listed, str) else ";" if listed else "",
        of_examination=bool(given.get("of_examination", False)),
    )


def _require_kind(name: str, classes: Names) -> None:
    """Refuse a label that is called as a finding of another kind: its answers would mean others."""
    if name == "density" and classes != tuple("ABCD"):
        raise ValueError(
            "[labels.density]: its classes are called A, B, C and D; call a label of others "
            "something else"
        )
    if name in _YES_OR_NO_FINDINGS and classes:
        raise ValueError(
            f"[labels.{name}]: it is a yes or no, by positive and negative; call a label of "
            "classes something else"
        )


def _known(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValueError(
            f"{where} has {', '.join(map(repr, unknown))}; known are {', '.join(sorted(known))}"
        )


def _names(given: Any) -> Names:
    return tuple(map(_word, given if isinstance(given, list) else [given]))


def _word(given: Any) -> str:
    return str(given).lower() if isinstance(given, bool) else str(given)
