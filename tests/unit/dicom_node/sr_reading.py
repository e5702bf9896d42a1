"""A reader of structured reports that shares nothing with the builders but pydicom."""

import io
from collections.abc import Iterator

import pydicom
from objects_factory import bytes_of
from pydicom.dataset import Dataset

Path = tuple[int, ...]


def read_back(dataset: Dataset) -> Dataset:
    """Return what a file of the data set says."""
    return pydicom.dcmread(io.BytesIO(bytes_of(dataset)))


def walk(item: Dataset, path: Path = (1,)) -> Iterator[tuple[Path, Dataset]]:
    """Yield every content item with its ordinal path, the root being 1."""
    yield path, item
    for position, child in enumerate(item.get("ContentSequence", []), start=1):
        yield from walk(child, (*path, position))


def is_reference(item: Dataset) -> bool:
    return "ReferencedContentItemIdentifier" in item


def target_of(report: Dataset, item: Dataset) -> Dataset:
    """Follow an item by reference; a path that leads nowhere fails."""
    return dict(walk(report))[tuple(item.ReferencedContentItemIdentifier)]


def concept(item: Dataset) -> str:
    """Return the code value of an item's concept name, empty where it has none."""
    names = item.get("ConceptNameCodeSequence")
    return names[0].CodeValue if names else ""


def children(item: Dataset, code: str) -> list[Dataset]:
    """Return the direct children of one concept."""
    return [child for child in item.get("ContentSequence", []) if concept(child) == code]


def child(item: Dataset, code: str) -> Dataset:
    (only,) = children(item, code)
    return only


def value_code(item: Dataset) -> str:
    code = item.ConceptCodeSequence[0]
    return code.get("CodeValue") or code.LongCodeValue


def points_of(item: Dataset) -> list[tuple[float, float]]:
    numbers = list(item.GraphicData)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def drawn_tree(report: Dataset) -> list[str]:
    """Return one line for each item: place, relationship, type, concept and coded value."""
    lines = []
    for path, item in walk(report):
        place = ".".join(map(str, path))
        if is_reference(item):
            target = "\\".join(map(str, item.ReferencedContentItemIdentifier))
            lines.append(f"{place} {item.RelationshipType} by reference {target}")
            continue
        words = [place, item.get("RelationshipType", ""), item.ValueType, concept(item)]
        if item.ValueType == "CODE":
            words.append(f"= {value_code(item)}")
        lines.append(" ".join(filter(None, words)))
    return lines
