"""The results of one study, and whether they are complete."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, SegmentationStorage

from mammoclip_core.findings import ImageFindings, StudyFindings
from mammoclip_core.findings_document import from_json

_REPORT_CLASSES: Final = frozenset(
    {"1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A study in the ledger, and its results in the archive.

    Attributes
    ----------
    condition, reason : as ``mammoclip-node studies`` shows them
    not_analysed : why instances of the study were set aside or left out
    findings : None where no analysis is done
    """

    label: str
    study_instance_uid: str
    condition: str
    reason: str
    not_analysed: tuple[str, ...]
    findings: StudyFindings | None
    reports: tuple[Dataset, ...]
    segmentations: tuple[Dataset, ...]
    pictures: tuple[Dataset, ...]
    others: tuple[Dataset, ...]

    @property
    def objects(self) -> tuple[Dataset, ...]:
        """Return everything that the archive holds."""
        return (*self.reports, *self.pictures, *self.segmentations, *self.others)


def outcome_of(label: str, details: Mapping[str, Any], objects: Iterable[Dataset]) -> Outcome:
    """Combine the ledger and the archive on one study."""
    sorted_out: dict[str, list[Dataset]] = {
        "reports": [],
        "segmentations": [],
        "pictures": [],
        "others": [],
    }
    for dataset in objects:
        sorted_out[_kind(str(dataset.SOPClassUID))].append(dataset)
    done = [analysis for analysis in details["analyses"] if analysis["findings"]]
    summary = details["summary"]
    return Outcome(
        label=label,
        study_instance_uid=summary["study_instance_uid"],
        condition=summary["condition"],
        reason=summary["reason"],
        not_analysed=tuple(sorted(_reasons(details["instances"]))),
        findings=from_json(done[-1]["findings"]) if done else None,
        **{kind: tuple(datasets) for kind, datasets in sorted_out.items()},
    )


def shortcomings(outcome: Outcome) -> list[str]:
    """List what is missing, doubled or wrong; empty if the study is complete.

    Complete means: one report, a picture of each analysed image, and a segmentation of each image
    that has a region and of no other, all in the study that was sent.
    """
    if outcome.condition != "delivered":
        reasons = [reason for reason in (outcome.reason, *outcome.not_analysed) if reason]
        return [f"not delivered ({outcome.condition}): {'; '.join(reasons) or 'no reason given'}"]
    if outcome.findings is None:
        return ["the ledger has no findings"]
    found = []
    if len(outcome.reports) != 1:
        found.append(f"{len(outcome.reports)} reports instead of 1")
    analysed = outcome.findings.analysed
    if not analysed:
        found.append("no image was analysed")
    found += _differences("picture", map(source_of_picture, outcome.pictures), _uids(analysed))
    found += _differences(
        "segmentation",
        map(source_of_segmentation, outcome.segmentations),
        _uids(image for image in analysed if has_region(image)),
    )
    found += [
        f"object {dataset.SOPInstanceUID} is in another study"
        for dataset in outcome.objects
        if dataset.StudyInstanceUID != outcome.study_instance_uid
    ]
    return found


def has_region(image: ImageFindings) -> bool:
    """Tell whether any finding of an image has a region."""
    return any(finding.regions for finding in image.findings)


def source_of_picture(picture: Dataset) -> str:
    """Return the SOP Instance UID of the image that a picture shows."""
    return str(picture.SourceImageSequence[0].ReferencedSOPInstanceUID)


def source_of_segmentation(segmentation: Dataset) -> str:
    """Return the SOP Instance UID of the image that a segmentation marks."""
    series = segmentation.ReferencedSeriesSequence[0]
    return str(series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID)


def _reasons(instances: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return why instances were set aside or left out, each reason once."""
    said = (instance["detail"] or instance["left_out_reason"] for instance in instances)
    return {reason for reason in said if reason}


def _kind(sop_class_uid: str) -> str:
    if sop_class_uid in _REPORT_CLASSES:
        return "reports"
    kinds: dict[str, str] = {
        SegmentationStorage: "segmentations",
        SecondaryCaptureImageStorage: "pictures",
    }
    return kinds.get(sop_class_uid, "others")


def _uids(images: Iterable[ImageFindings]) -> Counter[str]:
    return Counter(image.sop_instance_uid for image in images)


def _differences(what: str, sources: Iterable[str], expected: Counter[str]) -> Sequence[str]:
    have = Counter(sources)
    missing, beyond = expected - have, have - expected
    return [
        *(f"no {what} of image {uid}" for uid in missing),
        *(f"a {what} too many of image {uid}" for uid in beyond),
    ]
