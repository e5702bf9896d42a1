"""How long the studies of a dry run will take: at least, and likely."""

from dataclasses import dataclass

from dicom_node.fetch.pace import Pace
from dicom_node.fetch.retrospective_run import Fate, Fetched
from dicom_node.fetch.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is left to retrieve of a list.

    Attributes
    ----------
    size_bytes : as the objects come, perhaps compressed
    least_seconds : the pace, or the quickest study that was measured, of every study
    likely_seconds : each study as slow as those that were measured, or as the pace

    Both are of one run that nobody stops. Times of day at which nothing is retrieved, pauses of
    the archive, and what the same machine computes meanwhile come on top.
    """

    studies: int
    size_bytes: int
    least_seconds: float
    likely_seconds: float


def estimate(fetched: Fetched, pace: Pace, trial: Trial) -> Estimate:
    """Estimate what a run takes by a dry run, whose trial retrieved some of the studies."""
    left = [one for one in fetched.studies if one.fate is Fate.TO_RETRIEVE]
    said = sum(one.size_bytes for one in left)
    size = trial.bytes_for(said)
    if not left:
        # A run searches for each line again, whether or not it retrieves.
        searching = fetched.searching_seconds
        return Estimate(
            studies=0, size_bytes=size, least_seconds=searching, likely_seconds=searching
        )
    searching = fetched.searching_seconds / len(left)
    objects = sum(one.objects for one in left)
    takes = [
        searching + one for one in trial.seconds_of_studies(objects / len(left), said / len(left))
    ]
    return Estimate(
        studies=len(left),
        size_bytes=size,
        least_seconds=pace.seconds_for(len(left), [min(takes)]),
        likely_seconds=pace.seconds_for(len(left), takes),
    )
