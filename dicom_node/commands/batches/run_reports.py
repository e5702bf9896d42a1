"""What the command run reports, as a document and in words."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from dicom_node.fetch.estimate import estimate
from dicom_node.fetch.pace import Pace
from dicom_node.fetch.retrospective_run import GOOD, Fetched
from dicom_node.fetch.trial import ASSUMED_BYTES_PER_SECOND, Trial
from dicom_node.listed_lines import BadLine
from mammoclip_core.counting import counted


def run_document(
    fetched: Fetched, bad: Iterable[BadLine], pace: Pace, trial: Trial
) -> dict[str, Any]:
    """Return what became of a list as JSON."""
    left = estimate(fetched, pace, trial)
    return {
        "whole": fetched.is_whole,
        "stopped": fetched.stopped,
        "to_retrieve": {
            "studies": left.studies,
            "bytes": left.size_bytes,
            "at_least_seconds": round(left.least_seconds, 1),
            "seconds": round(left.likely_seconds, 1),
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
        yield f"{fate}: {counted(count, 'study', 'studies')}" + (
            f", {counted(objects, 'object')}" if objects else ""
        )
    if is_dry:
        left = estimate(fetched, pace, trial)
        by = f"measured by {trial.studies} of them that were retrieved and not kept"
        if not trial.studies:
            by = f"if the archive sends {ASSUMED_BYTES_PER_SECOND / 1e6:.0f} MB/s"
        yield (
            f"To retrieve: {left.studies} studies, about {left.size_bytes / 1e6:.0f} MB, "
            f"likely in {left.likely_seconds / 60:.1f} minutes, in {left.least_seconds / 60:.1f} "
            f"at least, {by}; hours at which nothing is retrieved, and what a stopped run does "
            "twice, come on top. Nothing was kept: give --retrieve."
        )
    if fetched.stopped:
        yield f"Stopped: {fetched.stopped} Run the command again to go on."
