"""A code of any form and length is written legally, and never a reason to lose a result."""

import pytest
from every_kind import EVERY_KIND
from objects_factory import finding, image_of, mammogram, marker_mask, results_of
from pydicom.dataset import Dataset
from sr_reading import read_back

from dicom_node.objects.content.content_rules import complaints_about
from dicom_node.objects.terms.codes import code_of

LONG = "99MAMMOCLIP|shape.irregular_with_spiculated_margin|irregular with spiculated margin"
ODD = [
    ("99X|v|m", ("v", "99X", "m")),
    (LONG, ("shape.irregular_with_spiculated_margin", "99MAMMOCLIP")),
    ("99A SCHEME WITH A LONG NAME|v|m", ("99A SCHEME WITH A LONG NAME:v", "99MAMMOCLIP", "m")),
    ("mass", ("mass", "99MAMMOCLIP", "thing")),
    ("SCT|4147007", ("SCT:4147007", "99MAMMOCLIP", "thing")),
    ("||", ("thing", "99MAMMOCLIP", "thing")),
    ("", ("thing", "99MAMMOCLIP", "thing")),
    ("99X|腫瘤|腫瘤", ("99X", "99MAMMOCLIP", "thing")),
    ("99X|a\\b|c\\d", ("a/b", "99X", "c/d")),
    ("99X|v|" + "m" * 100, ("v", "99X", "m" * 61 + "...")),
    ("99X|v|m|n", ("v", "99X", "m|n")),
]


@pytest.mark.parametrize(("text", "expected"), ODD)
def test_every_text_becomes_a_code(text: str, expected: tuple[str, ...]) -> None:
    code = code_of(finding(name="thing", code=text))

    assert (code.value, code.scheme_designator, code.meaning)[: len(expected)] == expected


def test_findings_without_a_code_are_told_apart() -> None:
    names = ("architectural_distortion", "asymmetry", "\u816b\u7624", "\u8449")

    made = {code_of(finding(name=name, code="")).value for name in names}

    assert len(made) == len(names)


@pytest.mark.parametrize("text", [text for text, _ in ODD])
def test_objects_of_every_kind_hold_it(text: str) -> None:
    made = finding(marker_mask(60, 150), name="thing", code=text)
    dataset = mammogram()

    results = results_of((dataset, image_of(dataset, made)), profiles=(EVERY_KIND,))

    for item in (item for result in results for item in codes_in(read_back(result.dataset))):
        assert ("LongCodeValue" in item) != ("CodeValue" in item)
        assert len(item.get("CodeValue", "")) <= 16
        assert len(item.CodingSchemeDesignator) <= 16
        assert 0 < len(item.CodeMeaning) <= 64


def test_long_value_is_a_long_code_value() -> None:
    dataset = mammogram()
    image = image_of(dataset, finding(marker_mask(60, 150), name="thing", code=LONG))

    objects = [read_back(one.dataset) for one in results_of((dataset, image))]

    values = {item.get("LongCodeValue") for one in objects for item in codes_in(one)}
    assert values == {None, "shape.irregular_with_spiculated_margin"}


def test_private_scheme_is_identified() -> None:
    dataset = mammogram()
    image = image_of(dataset, finding(marker_mask(60, 150), name="thing", code=LONG))

    for one in results_of((dataset, image)):
        schemes = one.dataset.get("CodingSchemeIdentificationSequence", [])
        used = {item.CodingSchemeDesignator for item in codes_in(one.dataset)}
        assert {item.CodingSchemeDesignator for item in schemes} == {
            scheme for scheme in used if scheme.startswith("99")
        }
        assert all(item.CodingSchemeResponsibleOrganization for item in schemes)


def codes_in(dataset: Dataset) -> list[Dataset]:
    """Return every item of a code sequence, at any depth."""
    found = []
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                if "CodeMeaning" in item:
                    found.append(item)
                found.extend(codes_in(item))
    return found


def test_own_checks_read_long_codes() -> None:
    dataset = mammogram()
    image = image_of(
        dataset,
        finding(marker_mask(20, 90), name="thing", code=LONG),
        finding(marker_mask(60, 150)),
    )

    results = results_of((dataset, image), profiles=(EVERY_KIND,))

    assert {one.kind: complaints_about(one.dataset) for one in results} == {
        one.kind: [] for one in results
    }
