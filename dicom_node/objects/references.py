"""What a report refers to outside of its content: evidence and former report."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class PredecessorDocument:
    """The report of the former revision, which a new one replaces."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def references_to(study_instance_uid: str, instances: Sequence[Dataset]) -> list[Dataset]:
    """List instances of one study by their series, as an evidence sequence does (PS3.3 C.17.2)."""
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = []
    by_series: dict[str, Dataset] = {}
    for instance in instances:
        series = by_series.get(instance.SeriesInstanceUID)
        if series is None:
            series = by_series[instance.SeriesInstanceUID] = Dataset()
            series.SeriesInstanceUID = instance.SeriesInstanceUID
            series.ReferencedSOPSequence = []
            study.ReferencedSeriesSequence.append(series)
        item = Dataset()
        item.ReferencedSOPClassUID = instance.SOPClassUID
        item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
        series.ReferencedSOPSequence.append(item)
    return [study]


def reference_to_predecessor(predecessor: PredecessorDocument) -> list[Dataset]:
    """Return the item of Predecessor Documents Sequence."""
    instance = Dataset()
    instance.SeriesInstanceUID = predecessor.series_instance_uid
    instance.SOPClassUID = predecessor.sop_class_uid
    instance.SOPInstanceUID = predecessor.sop_instance_uid
    return references_to(predecessor.study_instance_uid, [instance])
