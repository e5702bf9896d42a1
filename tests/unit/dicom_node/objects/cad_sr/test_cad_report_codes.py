"""The codes of a CAD report are those that the workstation understands."""

from cad_reports_read import four_views, marks
from objects_factory import bytes_of
from sr_reading import value_code, walk

from dicom_node.objects.cad_sr.options import CadOptions
from dicom_node.objects.cad_sr.snomed_rt import LEGACY_VALUES, CodingScheme


def test_older_workstations_are_given_older_codes() -> None:
    report = four_views(found=True, options=CadOptions(coding=CodingScheme.SRT))

    schemes = {
        item.ConceptCodeSequence[0].CodingSchemeDesignator
        for _, item in walk(report)
        if item.get("ValueType") == "CODE"
    }
    assert schemes == {"DCM", "SRT", "RFC5646"}
    assert [value_code(mark) for mark in marks(report)] == ["F-01796", "111099"]


def test_older_codes_are_the_dictionarys() -> None:
    from pydicom.sr._snomed_dict import mapping

    assert dict(LEGACY_VALUES) == {value: mapping["SCT"][value] for value in LEGACY_VALUES}


def test_meanings_hold_no_invisible_characters() -> None:
    assert b"\xe2\x80\x8b" not in bytes_of(four_views(found=True))


def test_another_coding_is_another_object() -> None:
    first, second = (
        four_views(options=CadOptions(coding=coding)) for coding in (CodingScheme.SCT, "SRT")
    )

    assert first.SOPInstanceUID != second.SOPInstanceUID
