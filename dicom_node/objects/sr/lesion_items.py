"""What a measurement group says of its lesion: its number, and where it lies."""

from collections.abc import Iterator

from pydicom.sr.coding import Code

from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.terms import codes
from mammoclip_core.lesion_location import Location


def lesion_number(number: int) -> Item:
    """Return the number of a lesion: the groups of its regions on all views share it."""
    value = Code(f"lesion_{number}", codes.OWN_SCHEME, str(number))
    return content_tree.code(Relationship.CONTAINS, codes.LESION_NUMBER, value)


def location_items(location: Location | None) -> Iterator[Item]:
    """Yield quadrant and depth where they are known; a half stands with the finding site."""
    if location is None:
        return
    quadrant = codes.QUADRANTS.get(location.part)
    if quadrant is not None:
        yield content_tree.code(Relationship.CONTAINS, codes.QUADRANT_LOCATION, quadrant)
    depth = codes.DEPTHS[location.depth]
    yield content_tree.code(Relationship.CONTAINS, codes.DEPTH, depth)
