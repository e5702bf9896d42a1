"""Lesions of phantom pairs are linked over both views, hardly ever wrongly, never in the dark."""

import sys
from typing import Any

import pytest
from lesion_pairs import draw_pair, links_in, links_of
from pydicom.dataset import Dataset


def modified(value: str) -> list[Dataset]:
    """Return a View Code Sequence whose view has a modifier."""
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator = value, "SCT"
    view = Dataset()
    view.ViewModifierCodeSequence = [modifier]
    return [view]


def test_lesions_of_phantom_pairs_are_linked(tmp_path) -> None:
    links = links_of(20, tmp_path)

    assert links.recall >= 0.75
    assert links.false <= 1


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_lesions_of_500_phantom_pairs_are_linked(tmp_path, capsys) -> None:
    links = links_of(500, tmp_path)

    with capsys.disabled():
        sys.stdout.write(
            f"\n{links.seen_in_both} lesions seen in both views, {links.recall:.1%} linked; "
            f"{links.true + links.false} links, {links.share_false:.1%} false\n"
        )
    assert links.recall >= 0.8
    assert links.share_false <= 0.02


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImagerPixelSpacing": None},
        {"EstimatedRadiographicMagnificationFactor": None, "ViewCodeSequence": "399163009"},
        {"ViewCodeSequence": "399055006"},
        {"ViewCodeSequence": "399209000"},
        {"ViewCodeSequence": "399197002"},
        {"ViewPosition": "CCS"},
        {"PartialView": "YES"},
        {"BreastImplantPresent": "YES"},
        {"PatientOrientation": ["R", "F"]},
        {"PatientOrientation": ["F", "A"]},
    ],
)
def test_nothing_is_linked_where_the_header_leaves_the_geometry_open(
    attributes: dict[str, Any], tmp_path
) -> None:
    if "ViewCodeSequence" in attributes:
        attributes = {**attributes, "ViewCodeSequence": modified(attributes["ViewCodeSequence"])}
    linked = next(number for number in range(100) if links_in(draw_pair(number, tmp_path)))

    assert links_in(draw_pair(linked, tmp_path, **attributes)) == []
