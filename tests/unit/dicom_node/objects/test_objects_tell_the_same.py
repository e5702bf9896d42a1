"""All objects of a result tell the same of each region: image, side, finding, score, lesion."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from services import require_program
from situations import Situation
from sr_reading import child, read_back
from told_regions import (
    Told,
    captions_in,
    differences,
    told_by_cad_report,
    told_by_measurement_report,
    told_by_presentation_state,
    told_by_segmentation,
)
from unusual_situations import EVERY_SITUATION

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing import lettering

IN_CI = ("boxes beside attention", "unknown side", "tomosynthesis", "repeated view")
"""The short form: the rest differs from these in what all objects share."""

NAMES = [
    pytest.param(name, marks=[] if name in IN_CI else pytest.mark.long) for name in EVERY_SITUATION
]
NOTHING_SHOWN = ("all failed", "negative class", "density alone")
READERS: dict[ResultKind, Callable[[Dataset], dict[str, Told]]] = {
    ResultKind.CAD_REPORT: told_by_cad_report,
    ResultKind.SEGMENTATION: told_by_segmentation,
    ResultKind.PRESENTATION_STATE: told_by_presentation_state,
}


@cache
def made(name: str) -> tuple[Situation, str]:
    """Return a situation, and every word that was drawn into its pictures and sheets."""
    drawn: list[str] = []
    letters = lettering._letters

    def recorded(text: str, size: int) -> object:
        drawn.append(text)
        return letters(text, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lettering, "_letters", recorded)
        situation = EVERY_SITUATION[name]()
        assert situation.results
    return situation, " ".join(drawn)


def of_kind(situation: Situation, kind: ResultKind) -> Iterator[Dataset]:
    return (read_back(one.dataset) for one in situation.results if one.kind is kind)


def told_by(situation: Situation, kind: ResultKind) -> dict[str, Told]:
    told: dict[str, Told] = {}
    for dataset in of_kind(situation, kind):
        own = READERS[kind](dataset)
        assert not own.keys() & told.keys()
        told |= own
    return told


def reported(situation: Situation) -> dict[str, Told]:
    (report,) = of_kind(situation, ResultKind.MEASUREMENT_REPORT)
    return told_by_measurement_report(report)


@pytest.mark.parametrize("name", NAMES)
def test_report_tells_what_was_answered(name: str) -> None:
    situation, _ = made(name)
    answered = [
        (
            (answer.sop_instance_uid, finding.frame),
            answer.laterality,
            finding.name.replace("_", " "),
            f"{region.score:.2f}",
            region.above_threshold,
        )
        for answer in situation.answers
        for finding in answer.findings
        for region in finding.regions
        if finding.above_threshold
    ]

    told = [
        ((one.instance, one.frame), one.side, one.name, f"{one.score:.2f}", one.above)
        for one in reported(situation).values()
    ]

    assert sorted(told) == sorted(answered)
    assert bool(told) is (name not in NOTHING_SHOWN)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("name", NAMES)
def test_objects_do_not_contradict_the_report(name: str, kind: ResultKind) -> None:
    situation, _ = made(name)
    report, other = reported(situation), told_by(situation, kind)

    assert other.keys() == report.keys()
    found = {uid: differences(report[uid], other[uid]) for uid in report}
    assert found == {uid: [] for uid in report}


@pytest.mark.parametrize("name", NAMES)
def test_numbers_stand_for_one_lesion(name: str) -> None:
    lesions: dict[int, list[Told]] = {}
    for one in reported(made(name)[0]).values():
        assert one.lesion is not None
        lesions.setdefault(one.lesion, []).append(one)

    for shown in lesions.values():
        assert len({one.name for one in shown}) == 1
        assert len({one.side for one in shown}) == 1
        assert len({one.instance for one in shown}) == len(shown)


def words_of_pages(situation: Situation, folder: Path) -> str:
    (page,) = of_kind(situation, ResultKind.PDF_REPORT)
    file = folder / "page.pdf"
    file.write_bytes(page.EncapsulatedDocument[: page.EncapsulatedDocumentLength])
    done = subprocess.run(
        [require_program("pdftotext"), "-raw", file, "-"], check=True, capture_output=True
    )
    return done.stdout.decode()


@pytest.mark.parametrize("name", [one for one in NAMES if "all failed" not in one.values])
def test_words_of_pictures_sheet_and_page_name_every_region(name: str, tmp_path: Path) -> None:
    situation, drawn = made(name)
    told: Sequence[Told] = list(reported(situation).values())

    assert list(captions_in(drawn, told)) == []
    assert list(captions_in(words_of_pages(situation, tmp_path), told)) == []


@pytest.mark.parametrize("name", NAMES)
def test_key_images_are_those_with_findings(name: str) -> None:
    situation, _ = made(name)
    positive = {
        (answer.sop_instance_uid, finding.frame)
        for answer in situation.answers
        for finding in answer.findings
        if finding.above_threshold and finding.name != "normal"
    }

    named = {
        (str(reference.ReferencedSOPInstanceUID), int(reference.get("ReferencedFrameNumber") or 1))
        for selection in of_kind(situation, ResultKind.KEY_IMAGES)
        for item in selection.ContentSequence
        for reference in item.get("ReferencedSOPSequence", [])
    }

    assert named == positive


def test_scores_of_examination_and_breasts_are_the_same_everywhere(tmp_path: Path) -> None:
    situation, drawn = made("boxes beside attention")
    lines = (
        "Examination: malignancy calibrated score 1.00, above threshold 0.50",
        "Right breast: malignancy calibrated score 0.90, above threshold 0.50",
        "Left breast: malignancy calibrated score 1.00, above threshold 0.50",
    )

    words = {
        "pictures": drawn,
        "page": words_of_pages(situation, tmp_path),
        "comments": " ".join(
            one.ImageComments for one in of_kind(situation, ResultKind.SECONDARY_CAPTURE)
        ),
        "segmentations": " ".join(
            one.ImageComments for one in of_kind(situation, ResultKind.SEGMENTATION)
        ),
        "key images": child(next(of_kind(situation, ResultKind.KEY_IMAGES)), "113012").TextValue,
        "presentation states": " ".join(
            text.UnformattedTextValue
            for state in of_kind(situation, ResultKind.PRESENTATION_STATE)
            for annotation in state.GraphicAnnotationSequence
            for text in annotation.TextObjectSequence
        ),
    }

    for kind, said in words.items():
        for line in lines:
            assert line in " ".join(said.split()), (kind, line)
