"""What the command run reports, as a document and in words."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from dicom_node.fetch.pace import Pace
from dicom_node.fetch.retrospective_run import GOOD, Fate, Fetched
from dicom_node.fetch.study_list import BadLine
from dicom_node.fetch.trial import ASSUMED_BYTES_PER_SECOND, Trial


def run_document(
    fetched: Fetched, bad: Iterable[BadLine], pace: Pace, trial: Trial
) -> dict[str, Any]:
    """Return what became of a list as JSON."""
    studies, size, seconds = _estimate(fetched, pace, trial)
    return {
        "whole": fetched.is_whole,
        "stopped": fetched.stopped,
        "to_retrieve": {
            "studies": studies,
            "bytes": size,
            "seconds": round(seconds, 1),
            "measured_studies": trial.studies,
        },
        "studies": [asdict(one) for one in fetched.studies],
        "bad_lines": [asdict(one) for one in bad],
    }


def run_lines(fetched: Fetched, pace: Pace, trial: Trial, *, is_dry: bool) -> Iterator[str]:
    """Yield a line for each study that needs a look, then the counts and what to do next."""
    for one in fetched.studies:
        if one.fate not in GOOD:
            where = f" study {one.study_instance_uid}" if one.study_instance_uid else ""
            yield f"line {one.line}:{where} {one.fate}: {one.reason}"
    for fate, count in Counter(one.fate for one in fetched.studies).items():
        objects = sum(one.objects for one in fetched.studies if one.fate is fate)
        yield f"{fate}: {count} studies" + (f", {objects} objects" if objects else "")
    if is_dry:
        studies, size, seconds = _estimate(fetched, pace, trial)
        by = f"measured by {trial.studies} of them that were retrieved and not kept"
        if not trial.studies:
            by = f"if the archive sends {ASSUMED_BYTES_PER_SECOND / 1e6:.0f} MB/s"
        yield (
            f"To retrieve: {studies} studies, about {size / 1e6:.0f} MB and {seconds / 60:.1f} "
            f"minutes, {by}. Nothing was kept: give --retrieve."
        )
    if fetched.stopped:
        yield f"Stopped: {fetched.stopped} Run the command again to go on."


def _estimate(fetched: Fetched, pace: Pace, trial: Trial) -> tuple[int, int, float]:
    """Return how many studies are to be retrieved, their bytes, and how many seconds it takes."""
    left = [one for one in fetched.studies if one.fate is Fate.TO_RETRIEVE]
    said = sum(one.size_bytes for one in left)
    retrieving = trial.seconds_for(sum(one.objects for one in left), said)
    # A run searches for each line again before it retrieves.
    seconds = pace.seconds_for(len(left), fetched.searching_seconds + retrieving)
    return len(left), trial.bytes_for(said), seconds
