"""What a report refers to outside of its content: evidence and former report."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicom_node.objects.former_results import FormerResult


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


def references_to_former(study_instance_uid: str, former: Sequence[FormerResult]) -> list[Dataset]:
    """List results of former revisions as an evidence sequence does."""
    return references_to(study_instance_uid, [_named(one) for one in former])


def _named(former: FormerResult) -> Dataset:
    instance = Dataset()
    instance.SeriesInstanceUID = former.series_instance_uid
    instance.SOPClassUID = former.sop_class_uid
    instance.SOPInstanceUID = former.sop_instance_uid
    return instance
