"""What was sent to a region against what its ledger, its store and its archive hold."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from region import Region

_STUDIES = "SELECT id, study_instance_uid FROM studies"
_IMAGES = "SELECT id, study_id, sop_instance_uid, state FROM instances"
_ANALYSES = "SELECT study_id, id, state, reason FROM analyses"
_RESULTS = "SELECT analysis_id, sop_instance_uid FROM result_objects"
_DELIVERIES = "SELECT analysis_id, id, state, reason FROM deliveries"
_DELIVERED = "SELECT subject_id FROM transitions WHERE subject = 'delivery' AND event = 'deliver'"


def complaints(region: Region, sent: Sequence[Sequence[Dataset]]) -> list[str]:
    """Return what is lost, doubled or not confirmed, a sentence each; nothing if all is well."""
    return [*_in_ledger(region, sent), *_in_archive(region), *_in_store(region)]


def _in_ledger(region: Region, sent: Sequence[Sequence[Dataset]]) -> Iterator[str]:
    wanted = {(one.StudyInstanceUID, one.SOPInstanceUID) for images in sent for one in images}
    names = dict(region.rows(_STUDIES))
    if set(names.values()) != {study for study, _ in wanted}:
        yield f"{len(names)} studies in the ledger, and {len(sent)} were sent"
    images = region.rows(_IMAGES)
    if Counter((names.get(study), uid) for _, study, uid, _ in images) != Counter(wanted):
        yield f"{len(images)} images in the ledger, and {len(wanted)} were sent"
    if {state for *_, state in images} != {"registered"}:
        yield f"images are {Counter(state for *_, state in images)}"
    analyses = region.rows(_ANALYSES)
    for study, name in names.items():
        its = [state for one, _, state, _ in analyses if one == study]
        # One that a late image took the place of counts only if something of it was sent.
        if [state for state in its if state != "superseded"] != ["done"]:
            yield f"{name} has the analyses {its}"
    deliveries = region.rows(_DELIVERIES)
    done = Counter(number for _, number, state, _ in analyses if state == "done")
    if Counter(one for one, *_ in deliveries) != done:
        yield f"{len(deliveries)} deliveries of {done.total()} analyses"
    for _, number, state, reason in deliveries:
        if state != "confirmed":
            yield f"delivery {number} is {state}: {reason}"
    delivered = Counter(number for (number,) in region.rows(_DELIVERED))
    if set(delivered.values()) != {1}:
        yield f"deliveries that were made more than once: {delivered.most_common(3)}"


def _in_archive(region: Region) -> Iterator[str]:
    query = {"Level": "Instance", "Expand": True, "Query": {}}
    held = Counter(
        one["MainDicomTags"]["SOPInstanceUID"] for one in region.archive.post("/tools/find", query)
    )
    made = Counter(uid for _, uid in region.rows(_RESULTS))
    if held != made:
        yield f"the archive holds {held.total()} objects of {made.total()} results"


def _in_store(region: Region) -> Iterator[str]:
    held = {file.name for file in region.store.objects() if file.parent.name == "instances"}
    wanted = {str(number) for number, *_ in region.rows(_IMAGES)}
    if {name.partition(".")[0] for name in held} != wanted:
        yield f"the store holds {len(held)} of {len(wanted)} images"
