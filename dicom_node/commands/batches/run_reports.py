"""What the command run reports, as a document and in words."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from dicom_node.fetch.retrospective_run import (
    ASSUMED_BYTES_PER_SECOND,
    GOOD,
    Fate,
    Fetched,
    Pace,
)
from dicom_node.fetch.study_list import BadLine


def run_document(fetched: Fetched, bad: Iterable[BadLine], pace: Pace) -> dict[str, Any]:
    """Return what became of a list as JSON."""
    studies, size = _to_retrieve(fetched)
    return {
        "whole": fetched.is_whole,
        "stopped": fetched.stopped,
        "to_retrieve": {
            "studies": studies,
            "bytes": size,
            "seconds": round(pace.seconds_for(studies, size), 1),
        },
        "studies": [asdict(one) for one in fetched.studies],
        "bad_lines": [asdict(one) for one in bad],
    }


def run_lines(fetched: Fetched, pace: Pace, *, is_dry: bool) -> Iterator[str]:
    """Yield a line for each study that needs a look, then the counts and what to do next."""
    for one in fetched.studies:
        if one.fate not in GOOD:
            where = f" study {one.study_instance_uid}" if one.study_instance_uid else ""
            yield f"line {one.line}:{where} {one.fate}: {one.reason}"
    for fate, count in Counter(one.fate for one in fetched.studies).items():
        objects = sum(one.objects for one in fetched.studies if one.fate is fate)
        yield f"{fate}: {count} studies" + (f", {objects} objects" if objects else "")
    if is_dry:
        studies, size = _to_retrieve(fetched)
        minutes = pace.seconds_for(studies, size) / 60
        yield (
            f"To retrieve: {studies} studies, {size / 1e6:.0f} MB before compression, about "
            f"{minutes:.1f} minutes at {ASSUMED_BYTES_PER_SECOND / 1e6:.0f} MB/s. "
            "Nothing was retrieved: give --retrieve."
        )
    if fetched.stopped:
        yield f"Stopped: {fetched.stopped} Run the command again to go on."


def _to_retrieve(fetched: Fetched) -> tuple[int, int]:
    left = [one for one in fetched.studies if one.fate is Fate.TO_RETRIEVE]
    return len(left), sum(one.size_bytes for one in left)
