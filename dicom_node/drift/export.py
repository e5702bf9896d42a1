"""Answers as a table for a registry: what Assess-AI and its kind take, without any identifier."""

import csv
import hashlib
import hmac
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dicom_node.studies.ledger.monitoring.tables import MonitorNote

COLUMNS: Final = (
    "case",
    "date",
    "site",
    "manufacturer",
    "model",
    "serial",
    "software",
    "images_kind",
    "age_band",
    "density",
    "implants",
    "bundle",
    "settings_sha256",
    "threshold_set",
    "finding",
    "score",
    "flagged",
    "images",
    "images_left_out",
    "turnaround_seconds",
)

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula."""


@dataclass(slots=True)
class ExportCount:
    """How many answers were exported so far."""

    answers: int = 0


def export_lines(
    rows: Iterable[MonitorNote], count: ExportCount | None, *, site: str, key: bytes
) -> Iterator[str]:
    """Yield the heading, and the lines of each answer, one for each finding.

    Parameters
    ----------
    count : counts the answers, if anybody wants to know
    site : name of the site
    key : of the installation: a case number is a digest with it, and tells nobody else anything
    """
    yield ",".join(COLUMNS) + "\n"
    for row in rows:
        if count is not None:
            count.answers += 1
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        case = hmac.new(key, b"export %d" % row.analysis_id, hashlib.sha256).hexdigest()[:16]
        for finding, (score, flagged) in sorted(json.loads(row.scores).items()):
            writer.writerow(
                map(
                    _plain,
                    (
                        case,
                        row.at.date().isoformat(),
                        site,
                        row.manufacturer,
                        row.model,
                        row.serial,
                        row.software,
                        row.presentation,
                        row.age_band,
                        row.density,
                        "yes" if row.implants else "no",
                        row.bundle,
                        row.thresholds,
                        row.threshold_set,
                        finding,
                        score,
                        "yes" if flagged else "no",
                        row.images,
                        row.left_out,
                        row.seconds,
                    ),
                )
            )
        yield stream.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
