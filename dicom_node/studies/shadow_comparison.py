"""Compares the answers of further bundles with those that were sent."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.shadows import DONE
from dicom_node.studies.ledger.site_tables import ShadowAnalysis
from dicom_node.studies.ledger.tables import Analysis, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One finding of one study by two bundles, or an answer that is not there.

    Attributes
    ----------
    bundle : its name in the settings
    live, shadow : highest score of the finding in the study; None if a bundle gives none
    live_flagged, shadow_flagged : whether it is above the bundle's threshold
    state : due, running, done or failed
    """

    study_instance_uid: str
    revision: int
    bundle: str
    finding: str
    live: float | None
    shadow: float | None
    live_flagged: bool
    shadow_flagged: bool
    state: str
    reason: str

    @property
    def difference(self) -> float | None:
        """Return how much higher the shadow's score is; None if there are not two."""
        return None if self.live is None or self.shadow is None else self.shadow - self.live


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far a further bundle agrees with those that were sent, by finding.

    Attributes
    ----------
    studies : that both have answered
    mean_difference : of the shadow's score from the live one
    mean_distance : mean of the differences without their sign
    agreeing : studies in which both are above their threshold, or neither
    """

    bundle: str
    finding: str
    studies: int
    mean_difference: float
    mean_distance: float
    agreeing: int


def comparisons(session: Session, *, limit: int, bundle: str = "") -> list[Comparison]:
    """List the answers of further bundles beside those that were sent, the newest first.

    Parameters
    ----------
    limit : number of answers that are read
    bundle : of this bundle alone; empty for all
    """
    query = (
        select(ShadowAnalysis, Analysis, Study.study_instance_uid)
        .join(Analysis, Analysis.id == ShadowAnalysis.analysis_id)
        .join(Study, Study.id == Analysis.study_id)
        .order_by(ShadowAnalysis.id.desc())
        .limit(limit)
    )
    if bundle:
        query = query.where(ShadowAnalysis.bundle == bundle)
    return [
        one
        for shadow, analysis, uid in session.execute(query)
        for one in _compared(shadow, analysis, uid)
    ]


def agreements(compared: Sequence[Comparison]) -> list[Agreement]:
    """Sum up comparisons by bundle and finding."""
    found: defaultdict[tuple[str, str], list[Comparison]] = defaultdict(list)
    for one in compared:
        if one.difference is not None:
            found[one.bundle, one.finding].append(one)
    return [
        Agreement(
            bundle=bundle,
            finding=finding,
            studies=len(rows),
            mean_difference=sum(one.difference or 0.0 for one in rows) / len(rows),
            mean_distance=sum(abs(one.difference or 0.0) for one in rows) / len(rows),
            agreeing=sum(one.live_flagged == one.shadow_flagged for one in rows),
        )
        for (bundle, finding), rows in sorted(found.items())
    ]


def _compared(shadow: ShadowAnalysis, analysis: Analysis, uid: str) -> Iterator[Comparison]:
    live, other = scores_of(analysis.findings), scores_of(shadow.findings)
    names = sorted(live.keys() | other.keys()) if shadow.state == DONE else [""]
    for name in names:
        live_score, live_flagged = live.get(name, (None, False))
        score, flagged = other.get(name, (None, False))
        yield Comparison(
            study_instance_uid=uid,
            revision=analysis.revision,
            bundle=shadow.bundle,
            finding=name,
            live=live_score,
            shadow=score,
            live_flagged=live_flagged,
            shadow_flagged=flagged,
            state=shadow.state,
            reason=shadow.reason,
        )


def scores_of(document: str | None) -> dict[str, tuple[float | None, bool]]:
    """Return of each finding of a findings document its highest score, and whether it is above."""
    found: dict[str, tuple[float | None, bool]] = {}
    content: dict[str, Any] = json.loads(document or "{}")
    of_images = [one for image in content.get("images", []) for one in image["findings"]]
    for finding in of_images:
        score, flagged = found.get(finding["name"], (0.0, False))
        highest = max(score or 0.0, float(finding["score"]))
        found[finding["name"]] = (highest, flagged or bool(finding["above_threshold"]))
    # What the bundle itself says of the study as a whole has the last word.
    for finding in content.get("study", []):
        found[finding["name"]] = (float(finding["score"]), bool(finding["above_threshold"]))
    return found
