"""QIDO-RS over what the node holds: matching, and the attributes of each level (PS3.18 10.6)."""

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from dicom_node.dicomweb.holdings import HeldObject, HeldStudy
from dicom_node.dicomweb.stored_header import (
    JsonObject,
    UnreadableHeldObjectError,
    header_of,
    path_of,
)
from dicom_node.errors import NodeError

LOOKED_AT: Final = 1000
"""Newest studies in which values other than UIDs are looked for: their headers are read."""

DEFAULT_LIMIT: Final = 100
_CONTROLS: Final = frozenset({"limit", "offset", "includefield", "fuzzymatching"})
_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_INSTANCE: Final = "00080018"
_MODALITIES: Final = "00080061"
_LEVELS: Final[Mapping[str, tuple[str, ...]]] = {
    "studies": (
        "00080005", "00080020", "00080030", "00080050", "00080090", "00080201", "00081030",
        "00100010", "00100020", "00100021", "00100030", "00100040", _STUDY, "00200010",
    ),
    "series": (
        "00080005", "00080021", "00080031", "00080060", "0008103E", _STUDY, _SERIES, "00200011",
    ),
    "instances": (
        "00080005", "00080016", _INSTANCE, "00083002", _STUDY, _SERIES, "00200013", "00280008",
        "00280010", "00280011", "00280100",
    ),
}  # fmt: skip
"""Attributes that an answer has at each level (PS3.18 10.6.3.3)."""


class WrongQueryError(NodeError):
    """A query parameter is none, or its value is none."""

    reason = "wrong-query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for.

    Attributes
    ----------
    matches : wanted values by tag
    """

    matches: Mapping[str, str]
    limit: int
    offset: int

    @property
    def reads_headers(self) -> bool:
        """Whether more than UIDs of studies decides."""
        return bool(set(self.matches) - {_STUDY})

    def by_keyword(self) -> dict[str, str]:
        """Return the wanted values by the keywords of their attributes."""
        return {keyword_for_tag(int(tag, 16)): value for tag, value in self.matches.items()}

    def of(self, *tags: str) -> "Query":
        """Return the part of the query that is about some attributes."""
        matches = {tag: value for tag, value in self.matches.items() if tag in tags}
        return Query(matches=matches, limit=self.limit, offset=self.offset)


def query_of(parameters: Iterable[tuple[str, str]]) -> Query:
    """Read query parameters; keys are keywords or tags of attributes.

    Raises
    ------
    WrongQueryError
        The message holds no value, which may be about a patient.
    """
    matches: dict[str, str] = {}
    numbers = {"limit": DEFAULT_LIMIT, "offset": 0}
    for key, value in parameters:
        if key in numbers:
            if not value.isdecimal() or len(value) > 9:
                raise WrongQueryError(f"{key} must be a number")
            numbers[key] = int(value)
        elif key not in _CONTROLS:
            matches[_tag_of(key)] = value.strip()
    limit = min(numbers["limit"], LOOKED_AT)
    return Query(matches=matches, limit=limit, offset=numbers["offset"])


def _tag_of(key: str) -> str:
    if re.fullmatch(r"[0-9A-Fa-f]{8}", key):
        return key.upper()
    tag = tag_for_keyword(key)
    if tag is None:
        raise WrongQueryError("a query parameter is neither a keyword nor a tag of an attribute")
    return f"{tag:08X}"


class Headers:
    """Reads headers, and remembers those of studies that have not changed."""

    def __init__(self, most_objects: int = 20_000) -> None:
        self._most_objects = most_objects
        self._known: OrderedDict[tuple[str, str], JsonObject] = OrderedDict()
        self._lock = threading.Lock()

    def brief(self, held: HeldObject) -> JsonObject | None:
        """Return the attributes of an object that answers to queries hold; None if unreadable."""
        key = (held.sop_instance_uid, held.file.name)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        try:
            whole = header_of(held)
        except UnreadableHeldObjectError:
            return None
        wanted = {tag for tags in _LEVELS.values() for tag in tags}
        found = {tag: element for tag, element in whole.items() if tag in wanted}
        with self._lock:
            self._known[key] = found
            while len(self._known) > self._most_objects:
                self._known.popitem(last=False)
        return found


def study_answers(
    studies: Sequence[tuple[HeldStudy, Sequence[HeldObject]]],
    query: Query,
    headers: Headers,
    root: str,
) -> list[JsonObject]:
    """Return the studies that match, as many as are asked for."""
    found = (_study_answer(objects, headers, root) for _, objects in studies if objects)
    return _page((one for one in found if one is not None), query)


def _study_answer(objects: Sequence[HeldObject], headers: Headers, root: str) -> JsonObject | None:
    brief = headers.brief(objects[0])
    if brief is None:
        return None
    seen: dict[str, str] = {}
    for held in objects:
        if held.series_instance_uid not in seen:
            seen[held.series_instance_uid] = _value(headers.brief(held) or {}, "00080060")
    return {
        **_of_level(brief, "studies"),
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        _MODALITIES: {"vr": "CS", "Value": sorted({one for one in seen.values() if one})},
        "00081190": {"vr": "UR", "Value": [f"{root}/studies/{objects[0].study_instance_uid}"]},
        "00201206": {"vr": "IS", "Value": [len(seen)]},
        "00201208": {"vr": "IS", "Value": [len(objects)]},
    }


def series_answers(
    objects: Sequence[HeldObject], query: Query, headers: Headers, root: str
) -> list[JsonObject]:
    """Return the series of a study that match."""
    counts = Counter(held.series_instance_uid for held in objects)
    firsts = {held.series_instance_uid: held for held in reversed(objects)}

    def answers() -> Iterator[JsonObject]:
        for uid in counts:
            brief = headers.brief(firsts[uid])
            if brief is not None:
                path = f"{root}/studies/{firsts[uid].study_instance_uid}/series/{uid}"
                yield {
                    **_of_level(brief, "series"),
                    "00081190": {"vr": "UR", "Value": [path]},
                    "00201209": {"vr": "IS", "Value": [counts[uid]]},
                }

    return _page(answers(), query)


def instance_answers(
    objects: Sequence[HeldObject], query: Query, headers: Headers, root: str
) -> list[JsonObject]:
    """Return the objects that match."""

    def answers() -> Iterator[JsonObject]:
        for held in objects:
            brief = headers.brief(held)
            if brief is not None:
                path = f"{root}/{path_of(held)}"
                yield {
                    **_of_level(brief, "instances"),
                    "00081190": {"vr": "UR", "Value": [path]},
                }

    return _page(answers(), query)


def _page(answers: Iterable[JsonObject], query: Query) -> list[JsonObject]:
    found = []
    for one in answers:
        if all(_matches(one, tag, wanted) for tag, wanted in query.matches.items()):
            found.append(one)
        if len(found) == query.offset + query.limit:
            break
    return found[query.offset :]


def _of_level(brief: JsonObject, level: str) -> JsonObject:
    return {tag: brief.get(tag, {"vr": "LO"}) for tag in _LEVELS[level] if tag in brief}


def _value(found: JsonObject, tag: str) -> str:
    values = _values(found, tag)
    return values[0] if values else ""


def _values(found: JsonObject, tag: str) -> list[str]:
    return [_text(value) for value in found.get(tag, {}).get("Value", [])]


def _text(value: Any) -> str:
    return str(value.get("Alphabetic", "")) if isinstance(value, dict) else str(value)


def _matches(found: JsonObject, tag: str, wanted: str) -> bool:
    """Match a value as PS3.4 C.2.2.2: single, list of UIDs, wild card, range of dates, universal.

    An attribute that answers do not hold matches nothing but the empty value.
    """
    if not wanted or wanted == "*":
        return True
    values = _values(found, tag)
    kind = found.get(tag, {}).get("vr", "")
    if kind == "UI":
        return bool(set(values) & set(re.split(r"[,\\]", wanted)))
    if kind in {"DA", "TM"} and "-" in wanted:
        first, _, last = wanted.partition("-")
        return any((not first or first <= one) and (not last or one <= last) for one in values)
    pattern = "".join(
        ".*" if char == "*" else "." if char == "?" else re.escape(char) for char in wanted
    )
    flags = re.IGNORECASE | re.DOTALL if kind == "PN" else re.DOTALL
    return any(re.fullmatch(pattern, one, flags) for one in values)
