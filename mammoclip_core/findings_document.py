"""The findings document: the findings of a study as JSON, written and read."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from types import UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from mammoclip_core.contradictions import require_one_meaning
from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import (
    BOX_THRESHOLD,
    FORMAT,
    BreastFindings,
    BundleIdentity,
    EngineIdentity,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    ScoreOf,
    StudyFindings,
)
from mammoclip_core.lesion_location import Depth, Height, Location, Side

_FORMER: Final = 1
_READABLE: Final = (_FORMER, FORMAT)

_LARGEST: Final = 2**31 - 1
"""No number of a document is larger: they count pixels and frames, or are shares of 1."""

_MOST_FINDINGS: Final = 500
"""On one image: to name more, a picture would be higher than DICOM allows."""

_SIDES: Final = ("L", "R", "B", "")

_Made = TypeVar("_Made")


def to_json(findings: StudyFindings) -> str:
    """Write the findings document: UTF-8 JSON with sorted keys, the same for equal findings."""
    return json.dumps(asdict(findings), sort_keys=True, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> StudyFindings:
    """Read a findings document that may come from outside, of this format or the former one.

    Numbers and locations of lesions are read where there are any. The former format has no score of
    a region and no threshold: there the highest box has its finding's score, and each other one its
    activation, held against `BOX_THRESHOLD`.

    Raises
    ------
    FindingsFormatError
        The text is not JSON, has another format number, an unknown or missing key, a value outside
        its range, or parts that contradict each other.
    """
    try:
        # Programs on Windows begin a text with a mark of its byte order.
        document = json.loads(
            text.removeprefix("\ufeff"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_once_each,
        )
        if document["format"] not in _READABLE or document["format"] is True:
            raise FindingsFormatError(
                f"findings format {document['format']!r}: expected {_FORMER} or {FORMAT}"
            )
        if document["format"] == _FORMER:
            _upgrade(document)
        findings = _made(
            StudyFindings,
            document,
            bundle=_made(BundleIdentity, document["bundle"]),
            images=tuple(map(_image_from, document["images"])),
            breasts=tuple(map(_breast_from, document["breasts"])),
            study=tuple(map(_finding_from, document["study"])),
            engine=_engine_from(document.get("engine")),
            format=FORMAT,
        )
        require_one_meaning(findings)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise FindingsFormatError(f"not a findings document: {error}") from error
    return findings


def _upgrade(document: Mapping[str, Any]) -> None:
    """Give each box of a document of the former format a score of its own, in place."""
    for image in document["images"]:
        for finding in image["findings"]:
            if finding["method"] != LocalisationMethod.BOX:
                continue
            highest = max((region["activation"] for region in finding["regions"]), default=0.0)
            for region in finding["regions"]:
                region["score_of"] = ScoreOf.REGION
                if region["activation"] == highest:
                    names = ("score", "calibrated", "above_threshold")
                    region.update({name: finding[name] for name in names})
                else:
                    score = region["activation"]
                    reaches = finding["above_threshold"] and score >= BOX_THRESHOLD
                    region.update(score=score, calibrated=False, above_threshold=reaches)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, of which programs read different ones where a key stands twice."""
    read = dict(pairs)
    if len(read) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.60} stands twice in one object")
    return read


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number that JSON knows")


def _made(kind: type[_Made], document: Mapping[str, Any], **read: Any) -> _Made:
    """Make a part of the findings, if each of its values is of the type that it is declared with.

    Parameters
    ----------
    read : parts that were read already, in the place of those of the document
    """
    values = {**document, **read}
    types = _types_of(kind)  # type: ignore[arg-type]  # every class can be hashed
    for key, value in values.items():
        if key in types and not _is_of(value, types[key]):
            raise ValueError(f"{key} is {value!r:.60}, which is not {_words_of(types[key])}")
        if key == "laterality" and value not in _SIDES:
            raise ValueError(f"laterality is {value!r:.60}, none of {_SIDES}")
    return kind(**values)


@cache
def _types_of(kind: type) -> Mapping[str, Any]:
    """Return the types of a part's values, worked out once: a document has thousands of parts."""
    return get_type_hints(kind)


def _listed(value: object) -> tuple[Any, ...]:
    """Return a list, and the lists in it, as tuples: of a text or an object none is made."""
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.60} is not a list")
    return tuple(_listed(one) if isinstance(one, list) else one for one in value)


def _words_of(declared: Any) -> str:
    words = [_NAMES[one] for one in (declared, *get_args(declared)) if one in _NAMES]
    return words[0] if words else "what belongs there"


_NAMES: Final[Mapping[Any, str]] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def _is_of(value: object, declared: Any) -> bool:
    """Tell whether a value of JSON is of a declared type; a judgement is no number."""
    if get_origin(declared) in (Union, UnionType):
        return any(_is_of(value, one) for one in get_args(declared))
    if get_origin(declared) is tuple:
        kinds = get_args(declared)
        if not isinstance(value, tuple):
            return False
        if kinds[-1] is ...:
            return all(_is_of(one, kinds[0]) for one in value)
        return len(value) == len(kinds) and all(map(_is_of, value, kinds))
    if declared in (int, float):
        is_number = isinstance(value, (int, float) if declared is float else int)
        return is_number and not isinstance(value, bool) and _is_bounded(value)
    return isinstance(value, declared) and (not isinstance(value, str) or _is_unicode(value))


def _is_unicode(text: str) -> bool:
    """Tell whether a text can be written: JSON can escape half of a letter, which no file holds."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _is_bounded(number: Any) -> bool:
    return -_LARGEST <= number <= _LARGEST and math.isfinite(number)


def _engine_from(document: Mapping[str, Any] | None) -> EngineIdentity | None:
    return None if document is None else _made(EngineIdentity, document)


def _image_from(document: Mapping[str, Any]) -> ImageFindings:
    with _naming(f"image {document['sop_instance_uid']}"):
        return _image_in(document)


@contextmanager
def _naming(owner: str) -> Iterator[None]:
    """Say whose value it is that an error speaks of."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{owner}: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{owner}: {error}") from error


def _image_in(document: Mapping[str, Any]) -> ImageFindings:
    if len(document["findings"]) > _MOST_FINDINGS:
        raise ValueError(f"it has {len(document['findings'])} findings, more than {_MOST_FINDINGS}")
    return _made(
        ImageFindings,
        document,
        status=ImageStatus(document["status"]),
        findings=tuple(map(_finding_from, document["findings"])),
        density_scores=_listed(document["density_scores"]),
        view_modifiers=_listed(document.get("view_modifiers", [])),
    )


def _breast_from(document: Mapping[str, Any]) -> BreastFindings:
    with _naming(f"breast {document['laterality']!r}"):
        return _made(
            BreastFindings, document, findings=tuple(map(_finding_from, document["findings"]))
        )


def _finding_from(document: Mapping[str, Any]) -> Finding:
    with _naming(f"finding {document['name']}"):
        return _made(
            Finding,
            document,
            source=FindingSource(document["source"]),
            method=LocalisationMethod(document["method"]),
            regions=tuple(map(_region_from, document["regions"])),
            prompts=_listed(document.get("prompts", [])),
        )


def _location_from(document: Mapping[str, Any] | None) -> Location | None:
    if document is None:
        return None
    return _made(
        Location,
        document,
        depth=Depth(document["depth"]),
        height=Height(document.get("height", Height.UNKNOWN)),
        side=Side(document.get("side", Side.UNKNOWN)),
    )


def _region_from(document: Mapping[str, Any]) -> Region:
    region = _made(
        Region,
        document,
        **{key: _listed(document[key]) for key in ("outline", "box", "peak")},
        score_of=ScoreOf(document.get("score_of", ScoreOf.FINDING)),
        location=_location_from(document.get("location")),
    )
    return replace(region, outline=tuple((float(x), float(y)) for x, y in region.outline))
