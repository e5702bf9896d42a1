"""A digest of everything that result objects are made of: if it is as before, so are they.

Builders are functions of their arguments and of nothing else. So objects need not be made, and no
picture drawn, to know that a retry would give the same ones again.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mammoclip_core.findings_document import to_json

if TYPE_CHECKING:
    from dicom_node.objects.analysed_study import ResultOptions
    from dicom_node.objects.identity import ResultIdentity
    from dicom_node.objects.products import Profile
    from dicom_node.studies.ledger.tables import Instance
    from mammoclip_core.findings import StudyAnalysis


def results_key(
    sources: Iterable["Instance"],
    answer: "StudyAnalysis",
    identity: "ResultIdentity",
    *,
    profiles: Sequence["Profile"],
    options: "ResultOptions",
) -> str:
    """Return the SHA-256 of the arguments of `build_results` but the revision, time and past.

    Parameters
    ----------
    sources : rows of the images, each with the digest of its whole data set

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        for part in parts:
            content = part if isinstance(part, bytes) else repr(part).encode()
            digest.update(len(content).to_bytes(8, "little") + content)

    add(to_json(answer.findings))
    for heatmap in answer.heatmaps:
        add(heatmap.sop_instance_uid, heatmap.finding, heatmap.frame, heatmap.extent)
        add(heatmap.values.shape, heatmap.values.dtype.str, heatmap.values.tobytes())
    for row in sources:
        add(row.sop_instance_uid, row.content_sha256)
    # A zone with a summer time is known by both of its offsets.
    zone = [datetime(2000, month, 1, tzinfo=identity.time_zone).utcoffset() for month in (1, 7)]
    add(zone, identity.bundle, identity.warning, identity.software_version)
    add(identity.device_serial_number, sorted(identity.series_numbers.items()))
    add(*profiles)
    add(options)
    return digest.hexdigest()
