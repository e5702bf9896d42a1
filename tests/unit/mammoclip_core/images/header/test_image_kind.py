"""What kind of image an object is, by Image Type values 3 to 5 (PS3.3 C.8.11.7.1.4)."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from mammoclip_core.images.header.image_kind import (
    TOMOSYNTHESIS_CLASSES,
    Acquisition,
    ImageFacts,
    acquisition_of,
    image_facts_of,
    is_breast_radiograph,
    left_out_reason_of,
)
from mammoclip_core.images.selection import (
    FULL_FIELD_TWIN,
    GENERATED_REMARK,
    GENERATED_TWIN,
    LOW_ENERGY_REMARK,
    Generated2D,
    select_images,
)


def dataset_of(*image_type: str, **attributes: Any) -> Dataset:
    dataset = Dataset()
    dataset.ImageType = list(image_type)
    dataset.ImageLaterality = "L"
    dataset.ViewPosition = "CC"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (("STEREO_SCOUT",), "stereotactic image"),
        (("STEREO_MINUS",), "stereotactic image"),
        (("STEREO_PLUS",), "stereotactic image"),
        (("STEREO", "LEFT"), "stereotactic image"),
        (("PREFIRE_MINUS",), "biopsy image"),
        (("PREFIRE_PLUS",), "biopsy image"),
        (("PREFIRE",), "biopsy image"),
        (("POSTFIRE_MINUS",), "biopsy image"),
        (("POSTFIRE_PLUS",), "biopsy image"),
        (("POSTBIOPSY",), "biopsy image"),
        (("POSTBIOPSY_PLUS",), "biopsy image"),
        (("POSTMARKER",), "biopsy image"),
        (("TOMO_SCOUT",), "biopsy image"),
        (("TOMO_PROJ",), "tomosynthesis projection"),
        (("CONTRAST", "SUBTRACTION", ""), "combined image of a contrast study"),
        (("", "ADDITION", ""), "combined image of a contrast study"),
        (("TOMO", "PROJECTION"), "tomosynthesis projection"),
        (("SUBTRACTED",), "combined image of a contrast study"),
        (("", "RECOMBINED"), "combined image of a contrast study"),
        (("CONTRAST", "", "HIGH_ENERGY"), "high-energy image of a contrast study"),
        (("", "HIGH_ENERGY"), "high-energy image of a contrast study"),
        (("POST_CONTRAST",), "image with contrast that is not a low-energy image"),
        (("PRE_CONTRAST", ""), "image with contrast that is not a low-energy image"),
        # More than one characteristic: the biopsy speaks (Value 3 holds its type then).
        (("POSTFIRE_PLUS", "", "LOW_ENERGY"), "biopsy image"),
        (("LOCALIZER",), "localiser"),
        (("TOMOSYNTHESIS", "NONE"), "slice of a tomosynthesis"),
        (("TOMOSYNTHESIS",), "slice of a tomosynthesis"),
    ],
)
def test_image_that_shows_no_ordinary_breast_is_left_out(
    values: tuple[str, ...], reason: str
) -> None:
    assert left_out_reason_of(dataset_of("ORIGINAL", "PRIMARY", *values)) == reason
    assert left_out_reason_of({"ImageType": ["derived", *map(str.lower, values)]}) == reason


@pytest.mark.parametrize(
    ("values", "acquisition"),
    [
        ((), Acquisition.ORDINARY),
        (("",), Acquisition.ORDINARY),
        (("", "150000"), Acquisition.ORDINARY),
        (("CONTRAST", "", "LOW_ENERGY"), Acquisition.LOW_ENERGY),
        (("POST_CONTRAST", "", "LOW_ENERGY"), Acquisition.LOW_ENERGY),
        (("", "LOW_ENERGY"), Acquisition.LOW_ENERGY),
        (("", "", "LOW ENERGY"), Acquisition.LOW_ENERGY),
        (("TOMO_2D", "GENERATED_2D"), Acquisition.GENERATED_2D),
        (("TOMO", "GENERATED_2D"), Acquisition.GENERATED_2D),
        (("TOMOSYNTHESIS", "GENERATED_2D", "", "150000"), Acquisition.GENERATED_2D),
    ],
)
def test_image_of_a_whole_breast_says_how_it_came_about(
    values: tuple[str, ...], acquisition: Acquisition
) -> None:
    dataset = dataset_of("DERIVED", "PRIMARY", *values)

    assert left_out_reason_of(dataset) == ""
    assert acquisition_of(dataset) is acquisition
    assert image_facts_of(dataset).acquisition is acquisition


@pytest.mark.parametrize(
    ("header", "is_volume", "reason"),
    [
        ({"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}, False, ""),
        (
            {
                "ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"],
                "NumberOfFrames": 1,
            },
            False,
            "",
        ),
        (
            {
                "ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"],
                "NumberOfFrames": 50,
            },
            True,
            "",
        ),
        (
            {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"], "NumberOfFrames": 50},
            True,
            "",
        ),
        (
            {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"], "NumberOfFrames": 1},
            True,
            "slice of a tomosynthesis",
        ),
        (
            {
                "ImageType": ["DERIVED", "PRIMARY"],
                "SharedFunctionalGroupsSequence": [
                    {
                        "XRay3DFrameTypeSequence": [
                            {"FrameType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}
                        ]
                    }
                ],
            },
            False,
            "",
        ),
    ],
)
def test_frames_and_image_type_tell_a_volume_from_a_flat_image_of_its_class(
    header: dict[str, Any], is_volume: bool, reason: str
) -> None:
    image = image_facts_of({"SOPClassUID": next(iter(TOMOSYNTHESIS_CLASSES)), **header})

    assert (image.is_tomosynthesis, image.left_out_reason) == (is_volume, reason)


@pytest.mark.parametrize("value", [None, "", 7, b"\xff", "DERIVED"])
def test_odd_image_types_leave_nothing_out(value: Any) -> None:
    assert left_out_reason_of({"ImageType": value}) == ""
    assert acquisition_of({"ImageType": value}) is Acquisition.ORDINARY


def facts(uid: str, acquisition: Acquisition = Acquisition.ORDINARY, **more: Any) -> ImageFacts:
    return ImageFacts(
        **{
            "sop_instance_uid": uid,
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.2",
            "laterality": "L",
            "view_position": "CC",
            "acquisition": acquisition,
            **more,
        }
    )


FULL_FIELD = facts("1")
GENERATED = facts("2", Acquisition.GENERATED_2D)


@pytest.mark.parametrize(
    ("how", "chosen", "left_out"),
    [
        (Generated2D.IF_ALONE, [("1", "")], [("2", GENERATED_TWIN)]),
        (Generated2D.PREFER, [("2", GENERATED_REMARK)], [("1", FULL_FIELD_TWIN)]),
        (Generated2D.BOTH, [("1", ""), ("2", GENERATED_REMARK)], []),
    ],
)
@pytest.mark.parametrize("images", [[FULL_FIELD, GENERATED], [GENERATED, FULL_FIELD]])
def test_setting_chooses_between_generated_and_full_field_image(
    how: Generated2D,
    chosen: list[tuple[str, str]],
    left_out: list[tuple[str, str]],
    images: list[ImageFacts],
) -> None:
    selection = select_images(images, how)

    assert sorted((one.sop_instance_uid, remark) for one, remark in selection.chosen) == chosen
    assert [(one.sop_instance_uid, one.reason) for one in selection.left_out] == left_out


@pytest.mark.parametrize("how", Generated2D)
def test_generated_image_is_analysed_where_its_view_has_no_other(how: Generated2D) -> None:
    other_view = facts("3", view_position="MLO")
    spot = facts("4", left_out_reason="spot compression view")
    volume = facts("5", sop_class_uid=next(iter(TOMOSYNTHESIS_CLASSES)))

    selection = select_images([GENERATED, other_view, spot, volume], how)

    assert {one.sop_instance_uid for one, _ in selection.chosen} == {"2", "3", "5"}


@pytest.mark.parametrize(("how", "chosen"), [("if-alone", "1"), ("prefer", "2"), ("both", "12")])
def test_setting_counts_for_a_generated_image_in_the_class_of_volumes(
    how: str, chosen: str
) -> None:
    generated = facts(
        "2", Acquisition.GENERATED_2D, sop_class_uid=next(iter(TOMOSYNTHESIS_CLASSES))
    )

    selection = select_images([FULL_FIELD, generated], Generated2D(how))

    assert "".join(one.sop_instance_uid for one, _ in selection.chosen) == chosen


def test_raw_image_gives_way_to_a_generated_one() -> None:
    raw = facts("3", presentation_intent="FOR PROCESSING")

    selection = select_images([raw, GENERATED])

    assert [one.sop_instance_uid for one, _ in selection.chosen] == ["2"]
    assert [one.sop_instance_uid for one in selection.left_out] == ["3"]


def test_low_energy_image_is_named_so() -> None:
    selection = select_images([facts("1", Acquisition.LOW_ENERGY)])

    assert [remark for _, remark in selection.chosen] == [LOW_ENERGY_REMARK]


@pytest.mark.parametrize(
    ("description", "kind", "acquisition"),
    [
        ("L CC C-View", "DERIVED", Acquisition.GENERATED_2D),
        ("R MLO S-VIEW", "DERIVED", Acquisition.GENERATED_2D),
        ("C View", "DERIVED", Acquisition.GENERATED_2D),
        ("L CC V-Preview", "DERIVED", Acquisition.GENERATED_2D),
        ("Insight 2D", "DERIVED", Acquisition.GENERATED_2D),
        ("Synthesized 2D", "DERIVED", Acquisition.GENERATED_2D),
        ("L CC C-View", "ORIGINAL", Acquisition.ORDINARY),
        ("Breast views", "DERIVED", Acquisition.ORDINARY),
    ],
)
def test_series_that_is_called_after_a_product_is_generated(
    description: str, kind: str, acquisition: Acquisition
) -> None:
    dataset = {"ImageType": [kind, "PRIMARY"], "SeriesDescription": description}

    assert acquisition_of(dataset) is acquisition


@pytest.mark.parametrize(
    ("sop_class", "header", "is_one"),
    [
        ("1.2.840.10008.5.1.4.1.1.1", {"Modality": "MG"}, True),
        ("1.2.840.10008.5.1.4.1.1.1.1", {"BodyPartExamined": "BREAST", "ViewPosition": "CC"}, True),
        ("1.2.840.10008.5.1.4.1.1.1", {"BodyPartExamined": "BREAST", "ViewPosition": "AP"}, False),
        ("1.2.840.10008.5.1.4.1.1.1", {"BodyPartExamined": "CHEST", "ViewPosition": "CC"}, False),
        ("1.2.840.10008.5.1.4.1.1.2", {"Modality": "MG"}, False),
    ],
)
def test_radiograph_of_the_breast_is_told_from_others(
    sop_class: str, header: dict[str, str], is_one: bool
) -> None:
    assert is_breast_radiograph({"SOPClassUID": sop_class, **header}) is is_one
