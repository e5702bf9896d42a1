"""What a measurement group says of its lesion: its number, and where it lies."""

from collections.abc import Iterator

from highdicom.sr import QualitativeEvaluation
from pydicom.sr.coding import Code

from dicom_node.objects import codes
from mammoclip_core.lesion_location import Location


def lesion_number(number: int) -> QualitativeEvaluation:
    """Return the number of a lesion: the groups of its regions on all views share it."""
    value = Code(f"lesion_{number}", codes.OWN_SCHEME, str(number))
    return QualitativeEvaluation(codes.LESION_NUMBER, value)


def location_items(location: Location | None) -> Iterator[QualitativeEvaluation]:
    """Yield quadrant and depth where they are known; a half stands with the finding site."""
    if location is None:
        return
    quadrant = codes.QUADRANTS.get(location.part)
    if quadrant is not None:
        yield QualitativeEvaluation(codes.QUADRANT_LOCATION, quadrant)
    yield QualitativeEvaluation(codes.DEPTH, codes.DEPTHS[location.depth])
