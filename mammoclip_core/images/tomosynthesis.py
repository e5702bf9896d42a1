"""Which frames of a multi-frame image are looked at, and one answer out of theirs."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np

from mammoclip_core.findings import Finding, ImageFindings, ImageStatus

MAX_FRAMES: Final = 16
"""Frames of one instance that are looked at, at most."""

REFUSAL: Final = "multi-frame image (tomosynthesis): not analysed unless the settings say how"


class Tomosynthesis(StrEnum):
    """What is done with an image of several frames."""

    REFUSE = "refuse"
    MIDDLE = "middle"
    MAX = "max"


def frames_to_look_at(number_of_frames: int, how: Tomosynthesis) -> tuple[int, ...]:
    """Choose frame numbers: none, the middle one, or at most `MAX_FRAMES` at even distances."""
    if number_of_frames <= 1:
        return (1,)
    if how is Tomosynthesis.REFUSE:
        return ()
    if how is Tomosynthesis.MIDDLE:
        return ((number_of_frames + 1) // 2,)
    count = min(number_of_frames, MAX_FRAMES)
    edges = np.arange(count) * number_of_frames / count + number_of_frames / (2 * count)
    return tuple(int(place) + 1 for place in edges)


def refusal_of(sop_instance_uid: str, laterality: str, view_position: str) -> ImageFindings:
    """State that an image of several frames was left out, and why."""
    return ImageFindings(
        sop_instance_uid=sop_instance_uid,
        laterality=laterality,
        view_position=view_position,
        status=ImageStatus.LEFT_OUT,
        reason=REFUSAL,
    )


def merged(frames: Sequence[ImageFindings]) -> ImageFindings:
    """Make one answer of those of several frames: of each finding the highest score.

    The image's frame is that of the highest score of all; its density is the mean over frames. A
    frame that failed is told of in the reason; where all did, so did the image.
    """
    if len(frames) == 1:
        return frames[0]
    analysed = [item for item in frames if item.status is ImageStatus.ANALYSED]
    if not analysed:
        return frames[0]
    highest: dict[str, Finding] = {}
    for finding in (finding for item in analysed for finding in item.findings):
        known = highest.get(finding.name)
        if known is None or finding.score > known.score:
            highest[finding.name] = finding
    best = max(highest.values(), key=lambda item: item.score, default=None)
    looked = f"{len(analysed)} of {len(frames)} frames looked at gave an answer"
    densities = [item.density_scores for item in analysed if item.density_scores]
    return replace(
        analysed[0],
        frame=best.frame if best is not None else analysed[0].frame,
        findings=tuple(highest.values()),
        reason="; ".join(filter(None, (analysed[0].reason, looked))),
        density_scores=tuple(map(float, np.mean(densities, axis=0))) if densities else (),
    )
