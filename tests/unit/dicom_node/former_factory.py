"""The results of some revisions as the next one is told of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dicom_node.objects.former_results import FormerResult
from dicom_node.objects.results import ResultObject


def former_of(*revisions: Sequence[ResultObject], **changes: Any) -> list[FormerResult]:
    """Return what revisions 1, 2 and so on had, held by every archive unless told otherwise."""
    former: dict[str, FormerResult] = {}
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
            )
    return [replace(one, **changes) for one in former.values()]
