"""A content tree with items by reference, whose paths are written once the tree is complete."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import format_number_as_ds

from dicom_node.objects.codes import coded
from dicom_node.objects.graphic_data import graphic_data

Point: TypeAlias = tuple[float, float]


class Relationship(StrEnum):
    """The relationship of a content item to the item above it (PS3.3 C.17.3.2.4)."""

    CONTAINS = "CONTAINS"
    HAS_ACQ_CONTEXT = "HAS ACQ CONTEXT"
    HAS_CONCEPT_MOD = "HAS CONCEPT MOD"
    HAS_OBS_CONTEXT = "HAS OBS CONTEXT"
    HAS_PROPERTIES = "HAS PROPERTIES"
    INFERRED_FROM = "INFERRED FROM"
    SELECTED_FROM = "SELECTED FROM"


@dataclass(slots=True, eq=False)
class Item:
    """One content item by value.

    Attributes
    ----------
    dataset : the item without its relationship and its children
    """

    relationship: Relationship
    dataset: Dataset
    children: list["Item | Reference"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reference:
    """One content item by reference to an item of the same tree."""

    relationship: Relationship
    target: Item


Child: TypeAlias = Item | Reference


def container(relationship: Relationship, concept: Code, children: Sequence[Child] = ()) -> Item:
    """Return a heading for other items."""
    dataset = _item("CONTAINER", concept)
    dataset.ContinuityOfContent = "SEPARATE"
    return Item(relationship, dataset, list(children))


def code(
    relationship: Relationship, concept: Code, value: Code, children: Sequence[Child] = ()
) -> Item:
    """Return a coded value."""
    dataset = _item("CODE", concept)
    dataset.ConceptCodeSequence = [coded(value)]
    return Item(relationship, dataset, list(children))


def text(relationship: Relationship, concept: Code, value: str) -> Item:
    """Return a text."""
    dataset = _item("TEXT", concept)
    dataset.TextValue = value
    return Item(relationship, dataset)


def number(
    relationship: Relationship,
    concept: Code,
    value: float,
    unit: Code,
    children: Sequence[Child] = (),
) -> Item:
    """Return a number with its unit; its text keeps to the 16 characters of a DS."""
    measured = Dataset()
    measured.NumericValue = _decimal(value)
    measured.MeasurementUnitsCodeSequence = [coded(unit)]
    dataset = _item("NUM", concept)
    dataset.MeasuredValueSequence = [measured]
    return Item(relationship, dataset, list(children))


def uid(relationship: Relationship, concept: Code, value: str) -> Item:
    """Return a UID."""
    dataset = _item("UIDREF", concept)
    dataset.UID = value
    return Item(relationship, dataset)


def date(relationship: Relationship, concept: Code, value: str) -> Item:
    """Return a date as the standard writes it."""
    dataset = _item("DATE", concept)
    dataset.Date = value
    return Item(relationship, dataset)


def time(relationship: Relationship, concept: Code, value: str) -> Item:
    """Return a time of day as the standard writes it."""
    dataset = _item("TIME", concept)
    dataset.Time = value
    return Item(relationship, dataset)


def coordinates(
    relationship: Relationship,
    concept: Code,
    graphic_type: str,
    points: Sequence[Point],
    image: Item,
) -> Item:
    """Return points of an image that is an item of the tree itself.

    Parameters
    ----------
    graphic_type : ``POINT`` or ``POLYLINE``
    points : ``(column, row)``
        The outer corner of the first pixel is ``(0, 0)``.
    """
    dataset = _item("SCOORD", concept)
    dataset.GraphicType = graphic_type
    data = graphic_data(coordinate for point in points for coordinate in point)
    dataset[data.tag] = data
    return Item(relationship, dataset, [Reference(Relationship.SELECTED_FROM, image)])


def image(
    relationship: Relationship,
    sop_class_uid: str,
    sop_instance_uid: str,
    frame: int | None,
    children: Sequence[Child] = (),
) -> Item:
    """Return an image.

    Parameters
    ----------
    frame : 1 or more, or None where the image has a single one
    """
    instance = Dataset()
    instance.ReferencedSOPClassUID = sop_class_uid
    instance.ReferencedSOPInstanceUID = sop_instance_uid
    if frame is not None:
        instance.ReferencedFrameNumber = frame
    dataset = _item("IMAGE", None)
    dataset.ReferencedSOPSequence = [instance]
    return Item(relationship, dataset, list(children))


def assembled(root: Item) -> Dataset:
    """Write a complete tree.

    Returns
    -------
    Dataset
        The attributes of the root item; each reference is the ordinal path from the root, which
        is 1 (PS3.3 C.17.3.2.5).

    Raises
    ------
    KeyError
        A reference points at an item that is not in the tree: a mistake of the builder.
    """
    paths = {id(item): path for item, path in _walk(root, (1,))}
    return _written(root, paths)


def _walk(item: Item, path: tuple[int, ...]) -> Iterator[tuple[Item, tuple[int, ...]]]:
    yield item, path
    for position, child in enumerate(item.children, start=1):
        if isinstance(child, Item):
            yield from _walk(child, (*path, position))


def _written(item: Item, paths: dict[int, tuple[int, ...]]) -> Dataset:
    children = []
    for child in item.children:
        if isinstance(child, Item):
            written = _written(child, paths)
        else:
            written = Dataset()
            written.ReferencedContentItemIdentifier = list(paths[id(child.target)])
        written.RelationshipType = child.relationship.value
        children.append(written)
    if children:
        item.dataset.ContentSequence = children
    return item.dataset


def _item(value_type: str, concept: Code | None) -> Dataset:
    dataset = Dataset()
    dataset.ValueType = value_type
    if concept is not None:
        dataset.ConceptNameCodeSequence = [coded(concept)]
    return dataset


def _decimal(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else format_number_as_ds(float(value))
