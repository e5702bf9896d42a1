"""The demonstration's table counts regions in plain English."""

import pytest
from pydicom.dataset import Dataset

from deploy.demo.display import content_of


def segmentation(*findings: str) -> Dataset:
    dataset = Dataset()
    dataset.SegmentSequence = []
    for finding in findings:
        segment = Dataset()
        segment.SegmentLabel = f"1 AI attention region: {finding}"
        dataset.SegmentSequence.append(segment)
    return dataset


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        (("mass",), "regions: 1 mass"),
        (("mass", "mass"), "regions: 2 masses"),
        (
            ("mass", "suspicious calcification", "suspicious calcification"),
            "regions: 1 mass, 2 suspicious calcifications",
        ),
    ],
)
def test_regions_are_counted_by_finding(findings: tuple[str, ...], words: str) -> None:
    assert content_of(segmentation(*findings)) == words
