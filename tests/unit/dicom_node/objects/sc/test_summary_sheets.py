"""A summary sheet shows the standard views where they are hung, and says what is missing."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from every_kind import BOXES, boxed
from legibility import LEAST_CAPITAL, letters_of, line_heights
from objects_factory import (
    NEGATIVE,
    breast_pixels,
    bytes_of,
    context_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    standard_views,
    study_of,
)
from pydicom.dataset import Dataset
from validators import dciodvfy_errors

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.drawing import lettering
from dicom_node.objects.drawing.hanging import cell_of, images_on, pages_of
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.drawing.lettering import MARK, TEXT
from dicom_node.objects.drawing.overlay import Placement
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.drawing.sheet_picture import further_text
from dicom_node.objects.sc.pixel_encoding import PictureForm
from dicom_node.objects.sc.summary_sheet import build_summary_sheet
from dicom_node.objects.terms.wording import view_of
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import BreastFindings, Finding, ImageFindings, ImageStatus

SIZES = [(400, 300), (3000, 2200), (700, 1400)]


def pairs_of(
    *findings: Finding,
    views: tuple[tuple[str, str], ...] | None = None,
    size: tuple[int, int] = (400, 300),
    **attributes: object,
) -> list[tuple[Dataset, ImageFindings]]:
    datasets = [
        mammogram(view, side, size=size, **attributes) for side, view in views or standard_views()
    ]
    return [(dataset, image_of(dataset, *findings)) for dataset in datasets]


def sheet_of(pairs, style=PictureStyle.COLOR, long_side=2048, **arguments):
    breasts = (BreastFindings(laterality="L", findings=(NEGATIVE,), density="C"),)
    findings = study_of(*(image for _, image in pairs), breasts=breasts)
    sources = {str(dataset.SOPInstanceUID): dataset for dataset, _ in pairs}
    built, placements = build_summary_sheet(
        sources,
        findings,
        context_of(findings),
        displays=lambda image: show(
            sources[image.sop_instance_uid], breast_pixels(sources[image.sop_instance_uid])
        ).within(*cell_of(long_side)),
        long_side=long_side,
        form=PictureForm(style=style),
        **arguments,
    )
    return pydicom.dcmread(io.BytesIO(bytes_of(built))), {
        uid: placement for (uid, _), placement in placements.items()
    }


def _part(sheet: Dataset, placement: Placement, size: tuple[int, int]) -> np.ndarray:
    """Cut one image out of a sheet."""
    top, left = placement.row_offset, placement.column_offset
    rows, columns = round(size[0] * placement.row_scale), round(size[1] * placement.column_scale)
    return sheet.pixel_array[top : top + rows, left : left + columns]


def test_right_breast_hangs_on_the_left_and_cc_above_mlo() -> None:
    pairs = pairs_of(NEGATIVE)

    _, placements = sheet_of(pairs)

    places = [placements[str(dataset.SOPInstanceUID)] for dataset, _ in pairs]
    assert places[0].column_offset < places[1].column_offset
    assert places[2].column_offset < places[3].column_offset
    assert places[0].row_offset == places[1].row_offset < places[2].row_offset


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_outline_lies_where_its_source_has_it(size: tuple[int, int], photometric: str) -> None:
    mask = marker_mask(150, 160, size)
    pairs = pairs_of(finding(mask), size=size, photometric=photometric)
    plain = pairs_of(NEGATIVE, size=size, photometric=photometric)

    marked, placements = sheet_of(pairs)
    unmarked, other_placements = sheet_of(plain)

    for dataset, _ in pairs:
        uid = str(dataset.SOPInstanceUID)
        placement = placements[uid]
        changed = _part(marked, placement, size) != _part(unmarked, other_placements[uid], size)
        lit_rows, lit_columns = np.nonzero(changed.any(axis=2))
        assert lit_columns.min() == pytest.approx(150 * placement.column_scale, abs=5)
        assert lit_rows.max() == pytest.approx(208 * placement.row_scale, abs=5)


def test_outline_of_a_box_below_the_threshold_is_broken_on_the_sheet() -> None:
    pairs = pairs_of(boxed(*BOXES), size=(1000, 700))

    capture, placements = sheet_of(pairs)

    for dataset, _ in pairs:
        placement = placements[str(dataset.SOPInstanceUID)]
        part = _part(capture, placement, (1000, 700)).astype(int)
        colored = np.ptp(part, axis=2) > 60
        shares = []
        for box in BOXES:
            left, top, right, _ = (
                round(edge * scale)
                for edge, scale in zip(
                    box.box, 2 * (placement.column_scale, placement.row_scale), strict=True
                )
            )
            shares.append(colored[top - 1 : top + 2, left + 10 : right - 10].any(axis=0).mean())
        assert shares[0] == 1.0
        assert all(0.2 < share < 0.85 for share in shares[1:])


def test_pixels_that_are_not_square_are_square_on_the_sheet() -> None:
    pairs = pairs_of(NEGATIVE, ImagerPixelSpacing=[0.2, 0.1])

    _, placements = sheet_of(pairs)

    for placement in placements.values():
        assert placement.row_scale / placement.column_scale == pytest.approx(2.0, rel=0.03)


def test_sheet_names_what_makes_a_view_special(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    letters = lettering._letters
    monkeypatch.setattr(
        lettering, "_letters", lambda text, size: (drawn.append(text), letters(text, size))[1]
    )
    (dataset, image), *_ = pairs_of(finding(marker_mask(60, 150)))
    special = replace(image, view_modifiers=("implant displaced",), repetition=2)

    sheet_of([(dataset, special)])

    name = f"{image.laterality} {image.view_position} implant displaced (2)"
    assert name in drawn  # below the image; within a sentence what is no standard view is named too
    assert further_text(special, 2).startswith(view_of(special))


def test_missing_view_leaves_its_place_empty_and_is_told() -> None:
    complete, _ = sheet_of(pairs_of(NEGATIVE))
    partial, placements = sheet_of(pairs_of(NEGATIVE, views=standard_views()[:3]))

    assert len(placements) == 3
    assert not np.array_equal(partial.pixel_array[:, -800:], complete.pixel_array[:, -800:])


def test_image_with_the_highest_score_stands_for_a_repeated_view() -> None:
    low, high = mammogram("CC"), mammogram("CC", SOPInstanceUID=uid_of("test", "again"))
    images = (image_of(low, NEGATIVE), image_of(high, finding(score=0.9)))

    (page,) = pages_of(study_of(*images))
    assert images_on(page) == (images[1],)


def test_examination_of_further_views_alone_has_a_sheet_without_images() -> None:
    _, placements = sheet_of(pairs_of(NEGATIVE, views=(("L", "ML"),)))

    assert placements == {}


def test_sheet_names_every_image_that_it_shows() -> None:
    pairs = pairs_of(NEGATIVE)

    capture, _ = sheet_of(pairs)

    named = [item.ReferencedSOPInstanceUID for item in capture.SourceImageSequence]
    assert named == [dataset.SOPInstanceUID for dataset, _ in pairs]
    purposes = {
        item.PurposeOfReferenceCodeSequence[0].CodeMeaning for item in capture.SourceImageSequence
    }
    assert purposes == {"Source image for montage"}
    assert capture.BurnedInAnnotation == "NO"


def test_study_without_an_analysed_image_has_no_sheet() -> None:
    dataset = mammogram()
    failure = image_of(dataset, status=ImageStatus.FAILED, reason="no pixels")

    with pytest.raises(ObjectRefusedError, match="no image"):
        sheet_of([(dataset, failure)])


def test_equal_answers_give_equal_sheets() -> None:
    first, second = (sheet_of(pairs_of(finding(marker_mask(60, 150))))[0] for _ in range(2))

    assert bytes_of(first) == bytes_of(second)


@pytest.mark.validators
@pytest.mark.parametrize("style", PictureStyle)
@pytest.mark.parametrize("views", [None, standard_views()[:1]])
def test_sheet_passes_dciodvfy(style: PictureStyle, views, tmp_path: Path) -> None:
    path = tmp_path / "sheet.dcm"
    capture, _ = sheet_of(pairs_of(finding(marker_mask(60, 150)), views=views), style=style)
    capture.save_as(path)

    assert dciodvfy_errors(path) == []


def test_sheet_is_legible_on_a_whole_screen() -> None:
    sheet, _ = sheet_of(pairs_of(finding(marker_mask(300, 900, SIZES[1])), size=SIZES[1]))

    pixels = sheet.pixel_array
    on_screen = min(912 / pixels.shape[0], 1200 / pixels.shape[1])

    for color in (MARK, TEXT):
        height = max(line_heights(letters_of(pixels[:, -600:], color)))
        assert height * on_screen >= LEAST_CAPITAL


def test_sheet_does_not_grow_with_its_text_where_there_are_many_findings() -> None:
    many = [finding(name=f"finding_number_{number}_of_many") for number in range(60)]

    sheet, placements = sheet_of(pairs_of(*many))

    assert len(placements) == 4
    assert sheet.Rows <= 3 * 2048
