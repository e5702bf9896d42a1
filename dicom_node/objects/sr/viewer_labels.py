"""What a viewer writes beside an outline: number, finding and research mark, from a measurement."""

import hashlib
from typing import Final

from pydicom.sr.coding import Code

from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.scores import percent_of
from dicom_node.objects.terms.wording import words_of
from mammoclip_core.findings import Finding, Region

_MARK: Final = "RESEARCH USE ONLY"
_MEANING_LENGTH: Final = 64


def label_of(number: int, finding: Finding, region: Region) -> Item:
    """Return the score of a region once more, under a name for the eye.

    OHIF 3.13 takes the label of an outline from the measurements of its group: of each the meaning
    of the concept's name, the value and the unit, five at most; and the finding site. It takes
    nothing from the finding or the tracking identifier, so that it would say a score, and not of
    what.

    Parameters
    ----------
    number : 1 or more
        Of the region, as in the pictures.
    """
    return content_tree.floating_number(
        Relationship.CONTAINS,
        label_name(number, finding.name, is_below=not region.above_threshold),
        percent_of(finding, region),
        codes.PERCENT,
    )


def label_name(number: int, name: str, *, is_below: bool = False) -> Code:
    """Return a private concept for one number and one finding: a code has but one meaning.

    Parameters
    ----------
    is_below : whether the region is below the threshold, which the label says
    """
    end = f"{', below threshold' if is_below else ''}, {_MARK}"
    rest = f"{number} {end}"
    words = words_of(name, _MEANING_LENGTH - len(rest))
    meaning = f"{number} {words}{end}"
    value = hashlib.sha256(meaning.encode()).hexdigest()[:15]
    return Code(f"R{value}", codes.OWN_SCHEME, meaning)
