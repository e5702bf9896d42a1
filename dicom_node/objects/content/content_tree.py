"""A content tree with items by reference, whose paths are written once the tree is complete."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import DS, format_number_as_ds

from dicom_node.objects.content.graphic_data import graphic_data
from dicom_node.objects.elements.small_datasets import Elements, dataset_of, elements_of
from dicom_node.objects.terms.codes import coded


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
    elements : the item without its relationship and its children
        Of this item alone.
    """

    relationship: Relationship
    elements: Elements
    children: list["Item | Reference"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reference:
    """One content item by reference to an item of the same tree."""

    relationship: Relationship
    target: Item


Child: TypeAlias = Item | Reference


def container(
    relationship: Relationship,
    concept: Code,
    children: Sequence[Child] = (),
    *,
    continuity: str = "SEPARATE",
    template: str = "",
) -> Item:
    """Return a heading for other items.

    Parameters
    ----------
    continuity : ``SEPARATE`` or ``CONTINUOUS``
    template : identifier of the template that its children follow, if it is stated
    """
    elements = _elements("CONTAINER", concept, ContinuityOfContent=continuity)
    if template:
        stated = dataset_of(MappingResource="DCMR", TemplateIdentifier=template)
        elements |= elements_of(ContentTemplateSequence=[stated])
    return Item(relationship, elements, list(children))


def code(
    relationship: Relationship, concept: Code, value: Code, children: Sequence[Child] = ()
) -> Item:
    """Return a coded value."""
    elements = _elements("CODE", concept, ConceptCodeSequence=[coded(value)])
    return Item(relationship, elements, list(children))


def text(
    relationship: Relationship, concept: Code, value: str, children: Sequence[Child] = ()
) -> Item:
    """Return a text."""
    return Item(relationship, _elements("TEXT", concept, TextValue=value), list(children))


def number(
    relationship: Relationship,
    concept: Code,
    value: float,
    unit: Code,
    children: Sequence[Child] = (),
) -> Item:
    """Return a number with its unit; its text keeps to the 16 characters of a DS."""
    measured = dataset_of(NumericValue=_decimal(value), MeasurementUnitsCodeSequence=[coded(unit)])
    elements = _elements("NUM", concept, MeasuredValueSequence=[measured])
    return Item(relationship, elements, list(children))


def floating_number(relationship: Relationship, concept: Code, value: float, unit: Code) -> Item:
    """Return a number with its unit that stands there in binary, too (PS3.3 C.18.1)."""
    measured = dataset_of(
        NumericValue=DS(value, auto_format=True),
        FloatingPointValue=value,
        MeasurementUnitsCodeSequence=[coded(unit)],
    )
    return Item(relationship, _elements("NUM", concept, MeasuredValueSequence=[measured]))


def uid(relationship: Relationship, concept: Code, value: str) -> Item:
    """Return a UID."""
    return Item(relationship, _elements("UIDREF", concept, UID=value))


def date(relationship: Relationship, concept: Code, value: str) -> Item:
    """Return a date as the standard writes it."""
    return Item(relationship, _elements("DATE", concept, Date=value))


def time(relationship: Relationship, concept: Code, value: str) -> Item:
    """Return a time of day as the standard writes it."""
    return Item(relationship, _elements("TIME", concept, Time=value))


def coordinates(
    relationship: Relationship,
    concept: Code,
    graphic_type: str,
    numbers: Iterable[float],
    image: Child,
) -> Item:
    """Return points of an image.

    Parameters
    ----------
    graphic_type : ``POINT`` or ``POLYLINE``
    numbers : column and row of one point after the other
        The outer corner of the first pixel is ``(0, 0)``.
    image : that they lie on, with its relationship to them
    """
    elements = _elements("SCOORD", concept, GraphicType=graphic_type)
    data = graphic_data(numbers)
    elements[data.tag] = data
    return Item(relationship, elements, [image])


def image(
    relationship: Relationship,
    sop_class_uid: str,
    sop_instance_uid: str,
    frames: Sequence[int] = (),
    children: Sequence[Child] = (),
    *,
    concept: Code | None = None,
) -> Item:
    """Return an image.

    Parameters
    ----------
    frames : 1 or more each; none where the image has a single one
    """
    instance = elements_of(
        ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=sop_instance_uid
    )
    if frames:
        instance |= elements_of(ReferencedFrameNumber=list(frames))
    elements = _elements("IMAGE", concept, ReferencedSOPSequence=[Dataset(instance)])
    return Item(relationship, elements, list(children))


def composite(
    relationship: Relationship,
    sop_class_uid: str,
    sop_instance_uid: str,
    *,
    concept: Code | None = None,
) -> Item:
    """Return an object that is no image."""
    instance = dataset_of(
        ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=sop_instance_uid
    )
    return Item(relationship, _elements("COMPOSITE", concept, ReferencedSOPSequence=[instance]))


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


def _written(
    item: Item, paths: dict[int, tuple[int, ...]], relationship: Relationship | None = None
) -> Dataset:
    elements = dict(item.elements)
    if relationship is not None:
        elements |= elements_of(RelationshipType=relationship.value)
    if item.children:
        elements |= elements_of(ContentSequence=[_child(child, paths) for child in item.children])
    return Dataset(elements)


def _child(child: Child, paths: dict[int, tuple[int, ...]]) -> Dataset:
    if isinstance(child, Item):
        return _written(child, paths, child.relationship)
    return dataset_of(
        ReferencedContentItemIdentifier=list(paths[id(child.target)]),
        RelationshipType=child.relationship.value,
    )


def _elements(value_type: str, concept: Code | None, **values: Any) -> Elements:
    elements = elements_of(ValueType=value_type, **values)
    if concept is not None:
        elements |= elements_of(ConceptNameCodeSequence=[coded(concept)])
    return elements


def _decimal(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else format_number_as_ds(float(value))
