"""Images of several frames: which are looked at, and one answer out of theirs."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from core_factory import StandInModel, WriteInstance, breast, manifest_with
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from mammoclip_core.analysis.engine import Engine, Prediction
from mammoclip_core.analysis.study_files import request_from
from mammoclip_core.commands.predict import app
from mammoclip_core.findings import ImageStatus, StudyAnalysis
from mammoclip_core.findings_document import from_json
from mammoclip_core.images.tomosynthesis import MAX_FRAMES, Tomosynthesis, frames_to_look_at

FRAMES = 5
MARKED_FRAME = 4


class BrightSpots(StandInModel):
    """Scores by how much brighter the brightest spot is than the rest."""

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        answers = super().predict(batch)
        shares = [float(np.clip(np.percentile(item, 50) * -1.0, 0, 1)) for item in batch]
        return [
            Prediction(scores={"mass": share}, activations=item.activations)
            for share, item in zip(shares, answers, strict=True)
        ]


@pytest.fixture
def volume(write_instance: WriteInstance) -> Path:
    """Five frames of one breast, the fourth with a bright mark at (60, 180)."""
    frames = np.stack([breast(300, 260) for _ in range(FRAMES)])
    frames[MARKED_FRAME - 1] //= 4
    frames[MARKED_FRAME - 1, 165:195, 45:75] = 4000
    return write_instance(
        frames, NumberOfFrames=FRAMES, SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3"
    )


def analysis_of(path: Path, how: Tomosynthesis) -> StudyAnalysis:
    engine = Engine(BrightSpots(manifest_with()), batch_size=2)
    return engine.analyze(request_from([path], tomosynthesis=how))


@given(st.integers(1, 400), st.sampled_from(list(Tomosynthesis)))
def test_frames_exist_and_are_few(number: int, how: Tomosynthesis) -> None:
    frames = frames_to_look_at(number, how)

    assert len(frames) <= MAX_FRAMES
    assert list(frames) == sorted(set(frames))
    assert all(1 <= frame <= number for frame in frames)
    if number == 1:
        assert frames == (1,)


def test_every_frame_of_a_short_image_is_looked_at() -> None:
    assert frames_to_look_at(7, Tomosynthesis.MAX) == (1, 2, 3, 4, 5, 6, 7)


def test_finding_keeps_the_frame_on_which_it_is_highest(volume: Path) -> None:
    analysis = analysis_of(volume, Tomosynthesis.MAX)

    (image,) = analysis.findings.images
    (finding,) = image.findings
    assert (image.frame, finding.frame) == (MARKED_FRAME, MARKED_FRAME)
    assert {heatmap.frame for heatmap in analysis.heatmaps} == {MARKED_FRAME}
    left, top, right, bottom = finding.regions[0].box
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((60, 180), abs=4)


def test_middle_frame_is_looked_at(volume: Path) -> None:
    (image,) = analysis_of(volume, Tomosynthesis.MIDDLE).findings.images

    assert (image.frame, image.findings[0].frame) == (3, 3)


def test_image_of_several_frames_is_refused_with_its_reason(volume: Path) -> None:
    (image,) = analysis_of(volume, Tomosynthesis.REFUSE).findings.images

    assert image.status is ImageStatus.LEFT_OUT
    assert "tomosynthesis" in image.reason


def test_frames_out_of_reach_leave_the_others_an_answer(volume: Path) -> None:
    content = volume.read_bytes()
    volume.write_bytes(content[:-200])

    (image,) = analysis_of(volume, Tomosynthesis.MAX).findings.images

    assert image.status is ImageStatus.ANALYSED
    assert "4 of 5 frames" in image.reason


@pytest.fixture
def run(random_bundle: Path) -> Any:
    environment = {
        "MAMMOCLIP_BUNDLE": str(random_bundle),
        "MAMMOCLIP_ACCEPT": "Apache-2.0 demonstration use",
    }
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)), env=environment)


def test_mode_changes_the_digest_of_the_settings(run: Any, write_instance: WriteInstance) -> None:
    path = write_instance(breast())

    documents = [
        from_json(run("image", path, "--json", *option).stdout)
        for option in ((), ("--mode", "published"), ("--mode", "clinical"))
    ]

    digests = [document.settings_sha256 for document in documents]
    assert digests[0] == digests[1] != digests[2]


def test_pattern_in_quotes_is_expanded(
    run: Any, write_instance: WriteInstance, tmp_path: Path
) -> None:
    for seed in range(2):
        write_instance(breast(seed=seed))

    result = run("image", tmp_path / "*.dcm", "--json")

    assert len(from_json(result.stdout).images) == 2


def test_pattern_without_a_match_is_named(run: Any, tmp_path: Path) -> None:
    result = run("image", tmp_path / "*.dcm")

    assert result.exit_code == 1
    assert "no such file" in result.stderr


@pytest.mark.parametrize("how", ["middle", "max"])
def test_pictures_are_written_of_the_frames(
    run: Any, volume: Path, tmp_path: Path, how: str
) -> None:
    result = run("image", volume, "--tomosynthesis", how, "--overlay", tmp_path / "pictures")

    pictures = sorted((tmp_path / "pictures").iterdir())
    assert result.exit_code == 0, result.stderr
    assert pictures
    for path in pictures:
        picture = cv2.imread(str(path))
        assert picture.shape[0] > 300
        assert picture[:28].max() > 100
