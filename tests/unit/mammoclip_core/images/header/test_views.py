from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from mammoclip_core.images.header.views import (
    contradictions_of,
    laterality_of,
    view_modifiers_of,
    view_position_of,
)
from mammoclip_core.images.header.written_view import VIEW_MODIFIERS, VIEW_POSITIONS


def coded(value: str, meaning: str = "", *modifiers: Dataset) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodeMeaning = meaning
    if modifiers:
        item.ViewModifierCodeSequence = list(modifiers)
    return item


def dataset_with(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


class Broken:
    """A data set whose bytes cannot be read as values."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def get(self, key: str, default: Any = None, /) -> Any:
        raise self.error(key)


@pytest.mark.parametrize(
    ("attributes", "laterality"),
    [
        ({"ImageLaterality": "R"}, "R"),
        ({"ImageLaterality": "", "Laterality": "L"}, "L"),
        ({"ImageLaterality": "R", "Laterality": "L"}, "R"),
        ({"Laterality": "left"}, "L"),
        ({"ImageLaterality": "B"}, "B"),
        ({"ImageLaterality": "U"}, ""),
        ({"ViewPosition": "RCC"}, "R"),
        ({"ViewPosition": "LEFT MLO"}, "L"),
        ({"ViewPosition": "CC_R"}, "R"),
        ({"ViewPosition": "LM L"}, "L"),
        ({"ViewPosition": "RCC", "Laterality": "R"}, "R"),
        ({"ViewPosition": "RCC", "ImageLaterality": "B"}, "B"),
        # The names of views that begin with a letter of a side.
        ({"ViewPosition": "RL"}, ""),
        ({"ViewPosition": "LMO"}, ""),
        ({"ViewPosition": "LAT"}, ""),
        # Two breasts are named: nobody knows which one it is.
        ({"ViewPosition": "RCC", "ImageLaterality": "L"}, ""),
        ({"ViewPosition": "MLO-L", "Laterality": "R"}, ""),
        ({}, ""),
    ],
)
def test_laterality_comes_from_the_image_before_the_series(
    attributes: dict[str, str], laterality: str
) -> None:
    assert laterality_of(attributes) == laterality


def test_laterality_of_multi_frame_image_comes_from_its_functional_groups() -> None:
    anatomy = dataset_with(FrameLaterality="R")
    group = dataset_with(FrameAnatomySequence=[anatomy])

    assert laterality_of(dataset_with(SharedFunctionalGroupsSequence=[group])) == "R"


@pytest.mark.parametrize(
    ("written", "view"),
    [
        ("MLO", "MLO"),
        (" cc ", "CC"),
        ("M-L-O", "MLO"),
        ("RMLO", "MLO"),
        ("LCC", "CC"),
        ("LM", "LM"),
        ("LMO", "LMO"),
        ("CC ID", "CC"),
        ("XCCL", "XCCL"),
        ("AT", "AT"),
        ("CV", "CV"),
        ("TAN", "TAN"),
        ("RL", "RL"),
        ("RM", "RM"),
        ("MLOID", "MLO"),
        ("CC-ID", "CC"),
        ("CC S", "CC"),
        ("R CC S", "CC"),
        ("RML", "ML"),
        ("RLM", "LM"),
        ("LML", "ML"),
        ("LMLO", "MLO"),
        ("XCCLID", "XCCL"),
        ("CRANIO-CAUDAL", "CC"),
        ("Medio-Lateral Oblique", "MLO"),
        ("L MEDIOLATERAL", "ML"),
        ("Caudo-Cranial (from below)", "FB"),
        ("CLEAVAGE", "CV"),
        ("Axillary Tail", "AT"),
        ("LEFT CC", "CC"),
        ("RIGHT MLO", "MLO"),
        ("SPOT CC", "CC"),
        ("MAG-MLO", "MLO"),
        ("RSMCC", "CC"),
        ("SMLO", "MLO"),
        ("ID MLO", "MLO"),
        ("CC2", "CC"),
        ("CC MAG 1.8", "CC"),
        ("MLO IMPLANT DISPLACED", "MLO"),
        ("CC R", "CC"),
        ("CC (left)", "CC"),
        ("CC_R", "CC"),
        ("CCR", "CC"),
        ("MLO-L", "MLO"),
        ("MLO_LEFT", "MLO"),
        ("CC-ID-R", "CC"),
        ("CC L 2", "CC"),
        ("RM L", "RM"),
        ("XCC L", "XCCL"),
        ("XCC LAT", "XCCL"),
        ("L AT", "AT"),
        ("CC 3D", "CC"),
        ("CCL", ""),
        ("LAT", ""),
        ("RLAT", ""),
        ("R LAT", ""),
        ("RL AT", "RL"),
        ("ML0", ""),
        ("LATERAL", ""),
        ("AP", ""),
        ("PA", ""),
        ("LL", ""),
        ("CCX", ""),
        ("???", ""),
    ],
)
def test_view_position_is_read_in_the_spellings_of_equipment(written: str, view: str) -> None:
    assert view_position_of({"ViewPosition": written}) == view


@pytest.mark.parametrize(
    ("written", "modifiers"),
    [
        ("CC", ()),
        ("MLO", ()),
        ("RMLO", ()),
        ("MLOID", ("implant displaced",)),
        ("CC-ID", ("implant displaced",)),
        ("CC S", ("spot compression",)),
        ("MLO_SPOT", ("spot compression",)),
        ("CCM", ("magnification",)),
        ("RMCC", ("magnification",)),
        ("MMLO", ("magnification",)),
        ("CC RL", ("rolled lateral",)),
        ("LCCRM", ("rolled medial",)),
        ("MLO AT", ("axillary tail",)),
        ("CCSM", ("spot compression", "magnification")),
        ("CC TAN", ("tangential",)),
        ("SPOT CC", ("spot compression",)),
        ("MAG MLO", ("magnification",)),
        ("RSMCC", ("spot compression", "magnification")),
        ("SCC", ("spot compression",)),
        ("LMLM", ("magnification",)),
        ("ID CC", ("implant displaced",)),
        ("CC MAG 1.8X", ("magnification",)),
        ("CCMAG1.8", ("magnification",)),
        ("MLO SPOT COMP VIEW", ("spot compression",)),
        ("SPOT COMPRESSION", ("spot compression",)),
        ("CC SPOT MAGNIFICATION", ("spot compression", "magnification")),
        ("MLO IMPLANT DISPLACED", ("implant displaced",)),
        ("CC ROLLED LATERAL", ("rolled lateral",)),
        ("MLO2", ()),
        ("XCC LAT", ()),
        ("CC EKLUND", ("implant displaced",)),
        ("CC ROLLED", ("rolled",)),
        ("CC REPEAT", ()),
        ("CC C-VIEW", ()),
        ("CC R", ()),
        ("MLO-L", ()),
        ("CC (left)", ()),
        ("CC 3D", ("3d",)),
        ("CC LAT", ("lat",)),
        ("CC ID 3D", ("implant displaced", "3d")),
        ("CC MLO", ("mlo",)),
    ],
)
def test_modifiers_that_stand_before_or_behind_the_view_are_read(
    written: str, modifiers: tuple[str, ...]
) -> None:
    assert view_modifiers_of({"ViewPosition": written}) == modifiers


def test_view_and_modifier_in_two_values_are_read() -> None:
    dataset = dataset_with(ViewPosition=["MLO", "S"])

    assert view_position_of(dataset) == "MLO"
    assert view_modifiers_of(dataset) == ("spot compression",)


@pytest.mark.parametrize("written", ["CC" + "M" * 100_000, "M" * 100_000, "RM" * 50_000 + "Z"])
def test_name_without_end_is_no_view(written: str) -> None:
    assert view_position_of({"ViewPosition": written}) == ""


def test_modifier_of_code_and_of_name_is_one() -> None:
    view = coded("399162004", "", coded("399209000"))

    assert view_modifiers_of(dataset_with(ViewPosition="CCID", ViewCodeSequence=[view])) == (
        "implant displaced",
    )


@pytest.mark.parametrize("value", ["399368009", "R-10226"])
def test_view_code_speaks_where_view_position_does_not(value: str) -> None:
    dataset = dataset_with(ViewPosition="AP", ViewCodeSequence=[coded(value)])

    assert view_position_of(dataset) == "MLO"


def test_every_code_of_context_group_4014_is_known() -> None:
    values = {getattr(codes.CID4014, name).value for name in codes.CID4014.dir()}

    assert values <= VIEW_POSITIONS.keys()


def test_every_code_of_context_group_4015_is_known() -> None:
    values = {getattr(codes.CID4015, name).value for name in codes.CID4015.dir()}

    assert values <= VIEW_MODIFIERS.keys()


def test_modifiers_are_named_once_each_in_order() -> None:
    view = coded("R-10242", "", coded("399163009"), coded("R-102D7"), coded("399055006"))

    modifiers = view_modifiers_of(dataset_with(ViewCodeSequence=[view]))

    assert modifiers == ("magnification", "spot compression")


def test_unknown_modifier_gives_its_own_meaning() -> None:
    view = coded("399162004", "", coded("X-1", "Special View"))

    assert view_modifiers_of(dataset_with(ViewCodeSequence=[view])) == ("special view",)


@pytest.mark.parametrize(
    ("meaning", "modifiers"),
    [
        ("Magnified", ("magnification",)),
        ("Magnification", ("magnification",)),
        ("Magnified view", ("magnification",)),
        ("Spot Compression", ("spot compression",)),
        ("spot compression view", ("spot compression",)),
        ("Implant displaced", ("implant displaced",)),
        ("Rolled Lateral", ("rolled lateral",)),
        ("View", ("view",)),
    ],
)
def test_modifier_that_only_a_meaning_names_is_read(
    meaning: str, modifiers: tuple[str, ...]
) -> None:
    view = coded("399162004", "", coded("", meaning))

    assert view_modifiers_of(dataset_with(ViewCodeSequence=[view])) == modifiers


def test_meaning_without_end_is_read_at_its_beginning() -> None:
    dataset = {"ViewModifierCodeSequence": [{"CodeMeaning": "M" * 100_000}]}

    assert view_modifiers_of(dataset) == ("magnification",)


@pytest.mark.parametrize(
    ("written", "code", "view", "contradictions"),
    [
        (
            "CC",
            "399368009",
            "MLO",
            ("View Position is CC, View Code Sequence says MLO: the code counts",),
        ),
        ("MLO", "399368009", "MLO", ()),
        ("RMLO", "399368009", "MLO", ()),
        ("CC", "unknown", "CC", ()),
        # It says more than the code, and does not contradict it.
        ("AT", "399368009", "AT", ()),
    ],
)
def test_code_counts_before_another_view_position_and_both_are_named(
    written: str, code: str, view: str, contradictions: tuple[str, ...]
) -> None:
    dataset = dataset_with(ViewPosition=written, ViewCodeSequence=[coded(code)])

    assert view_position_of(dataset) == view
    assert contradictions_of(dataset) == contradictions


def test_two_breasts_that_are_named_are_both_told() -> None:
    dataset = dataset_with(ViewPosition="RCC", ImageLaterality="L")

    assert contradictions_of(dataset) == (
        "View Position RCC is of breast R, the laterality says L: it is unknown which breast the "
        "image shows",
    )


@pytest.mark.parametrize("read", [laterality_of, view_position_of, view_modifiers_of])
@pytest.mark.parametrize("error", [ValueError, KeyError, AttributeError, TypeError])
def test_unreadable_data_set_says_nothing(
    read: Callable[[Any], Any], error: type[Exception]
) -> None:
    assert not read(Broken(error))


@pytest.mark.parametrize("read", [laterality_of, view_position_of, view_modifiers_of])
@pytest.mark.parametrize("value", [None, "", 7, [], [None], b"\xff\x00", ["CC", 3], object()])
def test_odd_values_raise_nothing(read: Callable[[Any], Any], value: Any) -> None:
    keywords = ("ImageLaterality", "ViewPosition", "ViewCodeSequence", "FrameAnatomySequence")

    assert read(dict.fromkeys((*keywords, "SharedFunctionalGroupsSequence"), value)) in {
        "",
        (),
        "CC",
    }


@pytest.mark.parametrize(
    ("orientation", "view"), [("CC", "CC"), ("MLO", "MLO"), (["A", "FR"], ""), ("A", "")]
)
def test_view_that_stands_in_patient_orientation_is_read_there(
    orientation: str | list[str], view: str
) -> None:
    assert view_position_of(dataset_with(PatientOrientation=orientation)) == view


def test_view_position_speaks_before_patient_orientation() -> None:
    dataset = dataset_with(ViewPosition="MLO", PatientOrientation="CC")

    assert view_position_of(dataset) == "MLO"


@pytest.mark.parametrize(
    ("paddle", "modifiers"),
    [
        ("10CM SPOT CONTACT", ("spot compression",)),
        ("SPT 9X9", ("spot compression",)),
        ("7.5CM MAG", ("magnification",)),
        ("10CM SPOT MAG", ("spot compression", "magnification")),
        ("24X30 IMAGING PADDLE", ()),
        ("18X24 CONTACT", ()),
    ],
)
def test_paddle_says_what_the_name_of_the_view_does_not(
    paddle: str, modifiers: tuple[str, ...]
) -> None:
    assert view_modifiers_of({"ViewPosition": "CC", "PaddleDescription": paddle}) == modifiers


def test_modifiers_beside_the_view_are_read_as_those_within_it() -> None:
    view, modifier = coded("399162004", ""), coded("399055006")
    dataset = dataset_with(ViewCodeSequence=[view], ViewModifierCodeSequence=[modifier])

    assert view_modifiers_of(dataset) == ("spot compression",)


@pytest.mark.parametrize(("value", "view"), [("", "MLO"), ("12345", "")])
def test_meaning_speaks_only_where_there_is_no_code(value: str, view: str) -> None:
    item = {"CodeValue": value, "CodeMeaning": "medio-lateral oblique"}

    assert view_position_of({"ViewCodeSequence": [item]}) == view
