"""The lines that name what was found on an image: each finding with its regions and scores."""

from collections.abc import Iterator, Sequence
from typing import Final

from dicom_node.objects.findings.lesions import numbered_regions, numbers_text
from dicom_node.objects.terms.scores import digits_of, score_text
from dicom_node.objects.terms.wording import words_of
from mammoclip_core.findings import Finding, ImageFindings, Region, ScoreOf

MOST_LINES: Final = 4
"""More regions above the threshold than this share one line with the range of their scores."""

BELOW: Final = "below threshold"

_Numbered = tuple[int, Region]


def captions_of(image: ImageFindings) -> tuple[tuple[Finding, str], ...]:
    """Write each finding above its threshold: numbers as in the picture, name, score.

    Regions that have the finding's score share a line. Of those with scores of their own each has
    a line, and all below the threshold have one together, which says so.
    """
    own: dict[str, list[_Numbered]] = {}
    for number, finding, index in numbered_regions(image):
        own.setdefault(finding.name, []).append((number, finding.regions[index]))
    return tuple(
        (finding, text)
        for finding in image.findings
        if finding.above_threshold
        for text in _texts(finding, own.get(finding.name, []))
    )


def _texts(finding: Finding, regions: Sequence[_Numbered]) -> Iterator[str]:
    sharing = [number for number, region in regions if region.score_of is ScoreOf.FINDING]
    scored = [one for one in regions if one[1].score_of is ScoreOf.REGION]
    above = [one for one in scored if one[1].above_threshold]
    below = [one for one in scored if not one[1].above_threshold]
    # A finding that none of its boxes carries was scored by something else, and is told itself.
    if sharing or not above:
        yield _text(finding, sharing, score_text(finding))
    if len(above) <= MOST_LINES:
        for number, region in above:
            yield _text(finding, [number], score_text(finding, region))
    else:
        yield _text(finding, [number for number, _ in above], _range_text(finding, above))
    if below:
        numbers = [number for number, _ in below]
        yield _text(finding, numbers, f"{_range_text(finding, below)}, {BELOW}")


def _text(finding: Finding, numbers: Sequence[int], score: str) -> str:
    return " ".join(filter(None, (numbers_text(numbers), words_of(finding.name), score)))


def _range_text(finding: Finding, regions: Sequence[_Numbered]) -> str:
    ordered = sorted((region for _, region in regions), key=lambda region: -region.score)
    highest, lowest = ordered[0], ordered[-1]
    words = score_text(finding, highest)
    end = f"{lowest.score:.{digits_of(lowest.score, finding.threshold)}f}"
    return words if words.endswith(f" {end}") else f"{words} to {end}"
