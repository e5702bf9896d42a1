"""Tomosynthesis on its way through the node: set aside, or analysed in frames of its own."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from unit.dicom_node.node_factory import TOMOSYNTHESIS, Reception, coded_view
from unit.mammoclip_core.core_factory import StandInModel, breast, manifest_with
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.ways_out.results import ProfileSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.states import AnalysisState, InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject
from mammoclip_core.analysis.engine import Engine
from mammoclip_core.prediction import Prediction
from worker.runtime import Runtime

FRAMES, MIDDLE, MARKED = 5, 3, 4
SIZE = (300, 260)
TISSUE = (100, 40)
EVERYTHING = ProfileSettings(
    objects=(
        *("measurement_report", "cad_report", "segmentation", "secondary_capture"),
        *("summary_sheet", "presentation_state", "pdf_report", "attention_segmentation"),
    ),
    picture_style="grey",
)
ARCHIVE = DicomDestination(
    name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=104, profile="everything"
)

NodeWith = Callable[[str], tuple[Runtime, Reception]]


class DarkerScoresHigher(StandInModel):
    """Scores by how dark the image is as a whole, and looks at the brightest spot."""

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        answers = super().predict(batch)
        scores = [float(np.clip(0.9 - image.mean() / 20, 0.5, 1)) for image in batch]
        return [
            Prediction(scores={"mass": score}, activations=answer.activations)
            for score, answer in zip(scores, answers, strict=True)
        ]


@pytest.fixture
def node_with(runtime_with: Callable[..., Runtime]) -> NodeWith:
    def build(how: str) -> tuple[Runtime, Reception]:
        node = runtime_with(
            model={"tomosynthesis": how},
            profiles={"everything": EVERYTHING},
            destinations=(ARCHIVE,),
        )
        node.manifest = manifest_with()
        node.engine = Engine(DarkerScoresHigher(node.manifest))
        reception = Reception(
            Spool(node.settings.spool), node.database, takes_tomosynthesis=how != "refuse"
        )
        return node, reception

    return build


def mark(frame: int) -> tuple[int, int]:
    """Return column and row of a frame's mark: another one in each."""
    return 60, 30 + 40 * frame


def volume(**attributes: Any) -> Dataset:
    """Return an enhanced multi-frame image with a mark in each frame; the fourth is the darkest."""
    frames = np.stack([breast(*SIZE, seed=number) // 2 for number in range(FRAMES)])
    frames[MARKED - 1] //= 4
    for number, frame in enumerate(frames, start=1):
        column, row = mark(number)
        frame[row - 15 : row + 15, column - 15 : column + 15] = 4000
    anatomy = Dataset()
    anatomy.FrameLaterality = "L"
    shared, voi = Dataset(), Dataset()
    shared.FrameAnatomySequence = [anatomy]
    voi.WindowCenter, voi.WindowWidth = 2048, 4096
    shared.FrameVOILUTSequence = [voi]
    return shown_mammogram(
        SOPClassUID=TOMOSYNTHESIS,
        Rows=SIZE[0],
        Columns=SIZE[1],
        NumberOfFrames=FRAMES,
        FrameOfReferenceUID="1.2.3.4",
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[Dataset() for _ in range(FRAMES)],
        ViewCodeSequence=[coded_view("399368009")],
        PixelData=frames.astype("<u2").tobytes(),
        without=("ImageLaterality", "ViewPosition", "WindowCenter", "WindowWidth"),
        **attributes,
    )


def analysed(node: Runtime, reception: Reception) -> Analysis:
    analysis = run_analysis(node, due_analysis(reception))
    assert (analysis.state, analysis.reason) == (AnalysisState.DONE, "")
    return analysis


def objects(reception: Reception) -> dict[str, Dataset]:
    return {
        row.kind: pydicom.dcmread(reception.spool.file(row.place))
        for row in reception.rows(ResultObject)
    }


def frames_referred_to(dataset: Dataset) -> set[int]:
    return {int(element.value) for element in dataset.iterall() if element.tag == (0x0008, 0x1160)}


def test_volume_is_set_aside_and_the_report_says_so(node_with: NodeWith) -> None:
    node, reception = node_with("refuse")
    flat = shown_mammogram("CC", Rows=SIZE[0], Columns=SIZE[1], PixelData=breast(*SIZE).tobytes())
    reception.receive(flat)
    row = reception.receive(volume())

    analysis = analysed(node, reception)

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "tomosynthesis")
    images = {one["sop_instance_uid"]: one for one in json.loads(analysis.findings)["images"]}
    stated = images[row.sop_instance_uid]
    assert stated["status"] == "left_out"
    assert "Breast Tomosynthesis" in stated["reason"]


@pytest.mark.parametrize(("how", "frame"), [("middle", MIDDLE), ("max", MARKED)])
def test_every_object_is_of_the_frame_that_was_chosen(
    node_with: NodeWith, how: str, frame: int
) -> None:
    node, reception = node_with(how)
    row = reception.receive(volume())

    analysis = analysed(node, reception)

    assert (row.laterality, row.view_position) == ("L", "MLO")
    (image,) = json.loads(analysis.findings)["images"]
    (finding,) = image["findings"]
    assert (image["frame"], finding["frame"]) == (frame, frame)
    made = objects(reception)
    assert set(made) == set(EVERYTHING.objects)
    for kind in set(made) - {"pdf_report"}:
        assert frames_referred_to(made[kind]) == {frame}, kind


@pytest.mark.parametrize(("how", "frame"), [("middle", MIDDLE), ("max", MARKED)])
def test_picture_shows_the_pixels_of_the_frame_through_its_window(
    node_with: NodeWith, how: str, frame: int
) -> None:
    node, reception = node_with(how)
    dataset = volume()
    reception.receive(dataset)
    analysed(node, reception)

    picture = objects(reception)["secondary_capture"]

    left, top, across, down = map(
        float,
        re.findall(
            r"column (\d+), row (\d+); scale ([\d.]+), ([\d.]+)\. ", picture.DerivationDescription
        )[0],
    )
    stored = np.frombuffer(dataset.PixelData, "<u2").reshape(FRAMES, *SIZE)[frame - 1]
    for column, row in (TISSUE, mark(frame)):
        shown = picture.pixel_array[round(top + down * row), round(left + across * column)]
        assert shown == pytest.approx(stored[row, column] / 4096 * 255, abs=3)


@pytest.mark.parametrize(("how", "frame"), [("middle", MIDDLE), ("max", MARKED)])
def test_region_lies_on_the_mark_of_its_frame(node_with: NodeWith, how: str, frame: int) -> None:
    node, reception = node_with(how)
    reception.receive(volume())
    analysed(node, reception)

    mask = objects(reception)["segmentation"].pixel_array

    rows, columns = np.nonzero(np.squeeze(mask))
    assert (columns.mean(), rows.mean()) == pytest.approx(mark(frame), abs=4)


def test_results_tell_how_frames_were_chosen(node_with: NodeWith) -> None:
    flat = shown_mammogram("CC", Rows=SIZE[0], Columns=SIZE[1], PixelData=breast(*SIZE).tobytes())
    digests = []
    for how in ("refuse", "middle", "max"):
        node, reception = node_with(how)
        reception.receive(flat)
        digests.append(json.loads(analysed(node, reception).findings)["settings_sha256"])

    assert len(set(digests)) == 3


def test_volume_that_was_taken_before_the_settings_refuse_is_stated(node_with: NodeWith) -> None:
    _, open_to_all = node_with("max")
    row = open_to_all.receive(volume())
    flat = shown_mammogram("CC", Rows=SIZE[0], Columns=SIZE[1], PixelData=breast(*SIZE).tobytes())
    open_to_all.receive(flat)
    node, reception = node_with("refuse")

    analysis = analysed(node, reception)

    images = {one["sop_instance_uid"]: one for one in json.loads(analysis.findings)["images"]}
    assert images[row.sop_instance_uid]["status"] == "left_out"
    assert "unless the settings say how" in images[row.sop_instance_uid]["reason"]


def test_study_of_a_refused_volume_alone_fails_with_the_reason(node_with: NodeWith) -> None:
    _, open_to_all = node_with("max")
    open_to_all.receive(volume())
    node, reception = node_with("refuse")

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is AnalysisState.FAILED
    assert "tomosynthesis" in analysis.reason


def test_volume_that_says_less_than_it_promises_is_analysed_as_far_as_it_goes(
    node_with: NodeWith,
) -> None:
    node, reception = node_with("max")
    dataset = volume()
    dataset.PixelData = dataset.PixelData[: -SIZE[0] * SIZE[1] * 2]
    reception.receive(dataset)

    (image,) = json.loads(analysed(node, reception).findings)["images"]

    assert "4 of 5 frames" in image["reason"]


def test_retry_analyses_what_was_set_aside_under_other_settings(node_with: NodeWith) -> None:
    from unit.dicom_node.node_factory import STUDY_UID

    from dicom_node.studies.operator_actions import judge_again

    _, refusing = node_with("refuse")
    refusing.receive(volume())
    node, reception = node_with("middle")
    with reception.database.writing() as session:
        judge_again(session, STUDY_UID, at=datetime.now(UTC))

    reception.registrar.register_all()

    (row,) = [row for row in reception.rows(Instance) if row.place]
    assert row.state is InstanceState.REGISTERED
    assert json.loads(analysed(node, reception).findings)["images"][0]["frame"] == MIDDLE
