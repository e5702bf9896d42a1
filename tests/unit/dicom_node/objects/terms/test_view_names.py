"""No two images of a study are called the same, and a name says what makes its view special."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from every_kind import EVERY_KIND
from objects_factory import (
    NEGATIVE,
    finding,
    heatmap_of,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)
from pydicom.dataset import Dataset
from test_tracking import tracked

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing import lettering
from dicom_node.objects.results import ResultObject
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.view_names import with_view_names
from dicom_node.objects.terms.wording import short_view_of, view_of
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import ImageStatus
from mammoclip_core.images.header.written_view import MODIFIER_LETTERS

MARK = finding(marker_mask(60, 150), marker_mask(150, 200))


def taken(*modifiers: str, time: str = "101500", number: int = 1, view: str = "CC") -> Dataset:
    dataset = mammogram(
        view,
        AcquisitionDate="20260102",
        AcquisitionTime=time,
        InstanceNumber=number,
        SOPInstanceUID=uid_of("taken", view, *modifiers, time, str(number)),
    )
    for words in modifiers:
        code = codes.VIEW_MODIFIERS[words]
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
        item.CodeMeaning = code.meaning
        dataset.ViewCodeSequence[0].ViewModifierCodeSequence.append(item)
    return dataset


def names_of(*datasets: Dataset) -> list[str]:
    images = [image_of(dataset, MARK) for dataset in datasets]
    headers = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
    return [view_of(image) for image in with_view_names(images, headers)]


def built(*datasets: Dataset) -> Sequence[ResultObject]:
    pairs = [(dataset, image_of(dataset, MARK)) for dataset in datasets]
    return results_of(*pairs, profiles=(EVERY_KIND,))


def of_kind(results: Sequence[ResultObject], kind: ResultKind) -> list[Dataset]:
    return [one.dataset for one in results if one.kind is kind]


@pytest.mark.parametrize("words", codes.VIEW_MODIFIERS)
def test_each_modifier_has_words_letters_and_a_code(words: str) -> None:
    (image,) = with_view_names(
        [image_of(taken(words))], {str(taken(words).SOPInstanceUID): taken(words)}
    )

    assert view_of(image) == f"L CC {words}"
    assert short_view_of(image) == f"L CC {MODIFIER_LETTERS[words]}"
    (picture,) = of_kind(built(taken(words)), ResultKind.SECONDARY_CAPTURE)
    (view,) = picture.ViewCodeSequence
    assert view.CodeValue == "399162004"
    assert view.ViewModifierCodeSequence[0].CodeValue == codes.VIEW_MODIFIERS[words].value


def test_plain_view_is_coded_without_modifiers() -> None:
    (picture,) = of_kind(built(taken()), ResultKind.SECONDARY_CAPTURE)

    assert picture.ViewCodeSequence[0].CodeValue == "399162004"
    assert "ViewModifierCodeSequence" not in picture.ViewCodeSequence[0]


def test_repeated_views_are_numbered_by_the_time_of_acquisition() -> None:
    late, early = taken(time="103000"), taken(time="101500", number=2)

    assert names_of(late, early) == ["L CC (2)", "L CC"]


def test_time_of_acquisition_may_be_stated_in_one_attribute() -> None:
    late, early = taken(), taken(time="101500", number=2)
    del late.AcquisitionDate, late.AcquisitionTime
    late.AcquisitionDateTime = "20260102103000.000"

    assert names_of(late, early) == ["L CC (2)", "L CC"]


def test_name_stays_when_a_later_image_of_the_view_arrives() -> None:
    first, second = taken(time="101500"), taken(time="102000")

    assert names_of(second, first)[1] == names_of(first)[0] == "L CC"


def test_images_of_one_time_are_numbered_by_instance_number() -> None:
    assert names_of(taken(number=7), taken(number=3)) == ["L CC (2)", "L CC"]


def test_modified_view_is_no_repetition_of_the_plain_one() -> None:
    names = names_of(taken(), taken("implant displaced"), taken("implant displaced", number=2))

    assert names == ["L CC", "L CC implant displaced", "L CC implant displaced (2)"]


def test_image_that_is_left_out_takes_no_name_from_one_that_is_read() -> None:
    read, twin = taken(time="103000"), taken(time="101500")
    left_out = image_of(twin, status=ImageStatus.LEFT_OUT, reason="For Processing")
    headers = {str(one.SOPInstanceUID): one for one in (read, twin)}

    named = with_view_names([left_out, image_of(read, NEGATIVE)], headers)

    assert [view_of(image) for image in named] == ["L CC (2)", "L CC"]


def test_images_of_unknown_view_are_told_apart() -> None:
    datasets = [
        mammogram("", "", SOPInstanceUID=uid_of("unknown", number)) for number in ("1", "2")
    ]

    name = "unknown view of unknown side"
    assert sorted(names_of(*datasets)) == [name, f"{name} (2)"]


@pytest.mark.parametrize(
    ("view", "side", "name"), [("CC", "", "CC of unknown side"), ("", "R", "R unknown view")]
)
def test_name_says_what_is_not_known(view: str, side: str, name: str) -> None:
    assert names_of(mammogram(view, side)) == [name]


DATASETS = (taken(), taken(number=2), taken("spot compression", "magnification"))
VIEWS = ("L CC", "L CC (2)", "L CC spot compression, magnification")


def test_pictures_are_titled_with_the_name_of_their_view(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    letters = lettering._letters
    monkeypatch.setattr(
        lettering, "_letters", lambda text, size: (drawn.append(text), letters(text, size))[1]
    )

    results = results_of(*((one, image_of(one, MARK)) for one in DATASETS))

    assert ResultKind.SUMMARY_SHEET not in {one.kind for one in results}
    words = " ".join(drawn)
    for view in VIEWS:
        assert view in words


@pytest.mark.parametrize(
    "kind",
    [
        ResultKind.MEASUREMENT_REPORT,
        ResultKind.CAD_REPORT,
        ResultKind.SEGMENTATION,
        ResultKind.PRESENTATION_STATE,
    ],
)
def test_no_two_tracking_identifiers_are_the_same(kind: ResultKind) -> None:
    names = tracked(built(*DATASETS), kind)

    identifiers = {identifier for identifier, _ in names}
    assert len(identifiers) == len(names) == 2 * len(VIEWS)
    for view in VIEWS:
        assert sum(one.startswith(f"{view} mass at column") for one in identifiers) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"laterality": "R"}, "the side is L, the findings say R"),
        ({"view_position": "M-L-O"}, "the view is CC, the findings say MLO"),
    ],
)
def test_findings_that_name_another_side_or_view_than_the_header_are_refused(
    changes: dict[str, str], words: str
) -> None:
    dataset = taken()

    with pytest.raises(ObjectRefusedError, match=words):
        results_of((dataset, replace(image_of(dataset, MARK), **changes)))


@pytest.mark.parametrize("view", ["", "LCC", "cranio-caudal", "seen from above"])
def test_header_tells_side_and_view_where_the_findings_do_not(view: str) -> None:
    dataset = taken()
    image = replace(image_of(dataset, MARK), laterality="", view_position=view)

    (picture,) = of_kind(results_of((dataset, image)), ResultKind.SECONDARY_CAPTURE)

    assert (picture.ImageLaterality, picture.ViewPosition) == ("L", "CC")


@pytest.mark.parametrize("view", ["CC\\MLO", "from above", "W" * 40])
def test_view_that_is_no_code_string_is_named_in_words_alone(view: str) -> None:
    dataset = mammogram("")

    (picture,) = of_kind(
        results_of((dataset, replace(image_of(dataset, MARK), view_position=view))),
        ResultKind.SECONDARY_CAPTURE,
    )

    assert "ViewPosition" not in picture


def test_description_of_a_long_view_keeps_its_number_and_the_research_mark() -> None:
    twice = [mammogram("W" * 16, "L", SOPInstanceUID=uid_of("long", one)) for one in "12"]
    for dataset in twice:
        dataset.ViewCodeSequence = taken(*tuple(codes.VIEW_MODIFIERS)[:6]).ViewCodeSequence
        dataset.ViewCodeSequence[0].CodeValue = "0"

    results = results_of(
        *((one, image_of(one, MARK)) for one in twice),
        heatmaps=[heatmap_of(one, 70.0, 170.0) for one in twice],
        profiles=(EVERY_KIND,),
        identity=identity(9999),
    )

    for kind in (ResultKind.SEGMENTATION, ResultKind.ATTENTION_SEGMENTATION):
        first, second = (one.SeriesDescription for one in of_kind(results, kind))
        assert first.startswith("L WW")
        assert "(2)" in second
        for description in (first, second):
            assert description.endswith("RESEARCH USE ONLY, rev 9999")
            assert len(description) <= 64


def test_series_of_segmentations_are_told_apart_within_their_length() -> None:
    descriptions = {
        one.SeriesDescription for one in of_kind(built(*DATASETS), ResultKind.SEGMENTATION)
    }

    assert descriptions == {
        f"{view} AI regions - RESEARCH USE ONLY, rev 1" for view in ("L CC", "L CC (2)", "L CC S M")
    }
