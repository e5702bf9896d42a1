"""The results of some revisions as the next one is told of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.former_results import FormerResult
from dicom_node.objects.products import Profile
from dicom_node.objects.results import ResultObject

EVERY_KIND = Profile(objects=frozenset(ResultKind))

RETRACTING = Profile(
    objects=frozenset(
        {ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION, ResultKind.REJECTION_NOTE}
    )
)
"""What is sent to an archive that honours rejection notes."""

WITH_REPORTS = Profile(
    objects=RETRACTING.objects
    | {ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT, ResultKind.KEY_IMAGES}
)


def former_of(*revisions: Sequence[ResultObject], **changes: Any) -> list[FormerResult]:
    """Return what revisions 1, 2 and so on had, held by every archive unless told otherwise."""
    former: dict[str, FormerResult] = {}
    profiles = (EVERY_KIND, RETRACTING, WITH_REPORTS)
    notes = {profile.product(ResultKind.REJECTION_NOTE) for profile in profiles}
    for revision, results in enumerate(revisions, start=1):
        for result in results:
            uid = str(result.dataset.SOPInstanceUID)
            if uid in former:
                former[uid] = replace(former[uid], kept_until=revision)
                continue
            former[uid] = FormerResult(
                product=result.product,
                sop_class_uid=str(result.dataset.SOPClassUID),
                sop_instance_uid=uid,
                series_instance_uid=str(result.dataset.SeriesInstanceUID),
                made_in=revision,
                kept_until=revision,
                held_for=frozenset(one.product for one in results) | notes,
            )
    return [replace(one, **changes) for one in former.values()]
