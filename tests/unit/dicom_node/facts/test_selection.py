import itertools
from typing import Any

import pytest
from node_factory import FOR_PROCESSING as PROCESSING_CLASS
from node_factory import TOMOSYNTHESIS, instance_row, study_row
from sqlalchemy.orm import Session

from dicom_node.facts import instance as headers
from dicom_node.facts.selection import LEFT_OUT_REASONS, MISSING_REASONS
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance
from dicom_node.studies.study_selection import selection_from
from mammoclip_core.findings import ImageStatus
from mammoclip_core.images.header.image_kind import FOR_PROCESSING, ImageFacts
from mammoclip_core.images.header.views import STANDARD_VIEWS
from mammoclip_core.images.selection import FOR_PROCESSING_REMARK, has_standard_views

RAW = {"presentation_intent": FOR_PROCESSING, "sop_class_uid": PROCESSING_CLASS}


@pytest.fixture
def image(session: Session) -> Any:
    study = study_row(session)

    def build(view: str = "MLO", laterality: str = "L", **columns: Any) -> Instance:
        return instance_row(session, study, view, laterality, **columns)

    return build


def test_every_view_for_presentation_is_chosen(image: Any) -> None:
    images = [image(view, laterality) for laterality, view in STANDARD_VIEWS]

    selection = selection_from(images)

    assert selection.chosen == tuple((one, "") for one in images)
    assert selection.left_out == ()


def test_for_processing_image_gives_way_to_the_one_for_presentation(image: Any) -> None:
    shown, raw = image(), image(**RAW)

    selection = selection_from([raw, shown])

    assert selection.chosen == ((shown, ""),)
    assert selection.left_out[0].sop_instance_uid == raw.sop_instance_uid
    assert "beside a For Presentation image" in selection.left_out[0].reason


def test_for_processing_image_is_analysed_with_a_remark_where_there_is_no_other(
    image: Any,
) -> None:
    raw = image("CC", **RAW)
    other = image("MLO")

    selection = selection_from([raw, other])

    assert selection.chosen == ((raw, FOR_PROCESSING_REMARK), (other, ""))


def test_spot_view_does_not_take_the_place_of_the_whole_one(image: Any) -> None:
    raw = image(**RAW)
    spot = image(left_out_reason="spot compression view")

    selection = selection_from([raw, spot])

    assert [one for one, _ in selection.chosen] == [raw]
    assert selection.left_out[0].reason == "spot compression view"
    assert selection.left_out[0].status is ImageStatus.LEFT_OUT


VOLUME = {"sop_class_uid": TOMOSYNTHESIS}


def test_tomosynthesis_is_analysed_beside_the_flat_image_of_its_view(image: Any) -> None:
    raw, volume = image(**RAW), image(**VOLUME)

    selection = selection_from([raw, volume])

    assert selection.chosen == ((raw, FOR_PROCESSING_REMARK), (volume, ""))


def test_raw_tomosynthesis_gives_way_to_the_one_for_presentation(image: Any) -> None:
    flat, shown = image(), image(**VOLUME)
    raw = image(**VOLUME, presentation_intent=FOR_PROCESSING)

    selection = selection_from([flat, raw, shown])

    assert [one for one, _ in selection.chosen] == [flat, shown]


def test_tomosynthesis_is_none_of_the_four_views() -> None:
    """Flat images of the same views may still be on their way."""
    assert not has_standard_views(
        [
            ImageFacts(
                sop_instance_uid="1.2",
                sop_class_uid=TOMOSYNTHESIS,
                laterality=side,
                view_position=view,
            )
            for side, view in STANDARD_VIEWS
        ]
    )


def test_repeated_view_is_analysed_too(image: Any) -> None:
    images = [image("CC"), image("CC")]

    assert [one for one, _ in selection_from(images).chosen] == images


@pytest.mark.parametrize("reason", sorted(MISSING_REASONS))
def test_mammogram_that_is_set_aside_makes_the_study_partial(image: Any, reason: str) -> None:
    aside = image(state=InstanceState.SET_ASIDE, reason=reason, detail="the fact")

    (stated,) = selection_from([image("CC"), aside]).left_out

    assert (stated.status, stated.reason) == (ImageStatus.FAILED, "set aside: the fact")


@pytest.mark.parametrize("reason", sorted(LEFT_OUT_REASONS))
def test_object_of_another_kind_is_stated_as_left_out(image: Any, reason: str) -> None:
    aside = image(state=InstanceState.SET_ASIDE, reason=reason, detail="the fact")

    (stated,) = selection_from([image("CC"), aside]).left_out

    assert stated.status is ImageStatus.LEFT_OUT


@pytest.mark.parametrize("reason", ["own-result", "not-a-mammogram", "same-uid-other-content"])
def test_what_is_no_image_of_the_study_is_not_stated(image: Any, reason: str) -> None:
    aside = image(state=InstanceState.SET_ASIDE, reason=reason, detail="the fact")

    assert selection_from([image("CC"), aside]).left_out == ()


def test_instance_that_came_right_later_is_not_stated_as_missing(image: Any) -> None:
    good = image("CC")
    aside = image(
        state=InstanceState.SET_ASIDE,
        reason="no-view",
        detail="the fact",
        sop_instance_uid=good.sop_instance_uid,
    )

    assert selection_from([good, aside]).left_out == ()


def test_instance_that_is_set_aside_twice_is_stated_once(image: Any) -> None:
    asides = [
        image(state=InstanceState.SET_ASIDE, reason="no-view", detail="x", sop_instance_uid="1.2")
        for _ in range(2)
    ]

    assert len(selection_from([image("CC"), *asides]).left_out) == 1


def test_object_that_was_taken_back_is_not_stated(image: Any) -> None:
    taken = image(state=InstanceState.TAKEN_BACK, reason="no-view", detail="the fact", place="")

    assert selection_from([taken, image("CC")]).left_out == ()


def test_order_of_arrival_changes_nothing(image: Any) -> None:
    images = [image("CC"), image("CC", **RAW), image(**RAW), image(left_out_reason="localiser")]

    answers = {
        (
            frozenset(one.id for one, _ in selection.chosen),
            frozenset(one.sop_instance_uid for one in selection.left_out),
        )
        for order in itertools.permutations(images)
        for selection in [selection_from(list(order))]
    }

    assert len(answers) == 1


@pytest.mark.parametrize("missing", [None, *STANDARD_VIEWS])
def test_all_four_views_are_needed(missing: tuple[str, str] | None) -> None:
    images = [
        ImageFacts(sop_instance_uid="1.2", sop_class_uid="1.3", laterality=side, view_position=view)
        for side, view in STANDARD_VIEWS
        if (side, view) != missing
    ]

    assert has_standard_views(images) is (missing is None)


def test_reasons_that_are_stated_are_reasons_that_are_given() -> None:
    from pathlib import Path

    from dicom_node.studies.ledger.arrival import registering, rejecting

    written = "".join(
        Path(module.__file__).read_text() for module in (headers, registering, rejecting)
    )

    for reason in MISSING_REASONS | LEFT_OUT_REASONS:
        assert f'"{reason}"' in written
