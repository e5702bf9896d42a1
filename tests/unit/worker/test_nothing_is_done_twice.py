"""In one analysis each file is read once, and what was made before is not written again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from unit.dicom_node.node_factory import Reception
from unit.mammoclip_core.core_factory import StandInModel, breast, manifest_with
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.objects.drawing.rendering import DisplayPicture, show
from dicom_node.settings.ways_out.results import ResultSettings
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import ResultObject
from mammoclip_core.analysis.engine import Engine, ImageToAnalyse
from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.data_set import read_dataset
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.image_file import read_image
from mammoclip_core.prediction import Prediction
from worker.analyze.study_files import StudyFiles
from worker.runtime import Runtime

LONG_SIDE: Final = 32


class ModelThatRemovesFiles(StandInModel):
    """Removes the images once they were decoded for it: whoever reads one again fails."""

    meanwhile: Callable[[], None]

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        self.meanwhile()
        return super().predict(batch)


def large_mammogram() -> Any:
    values = breast()
    return shown_mammogram(Rows=200, Columns=160, PixelData=values.astype("<u2").tobytes())


def results_of(reception: Reception, analysis_id: int) -> list[ResultObject]:
    return [row for row in reception.rows(ResultObject) if row.analysis_id == analysis_id]


def test_analysis_reads_no_file_again_once_the_model_saw_its_image(
    node: Runtime, reception: Reception
) -> None:
    row = reception.receive(large_mammogram())
    model = ModelThatRemovesFiles(manifest_with())
    model.meanwhile = reception.spool.file(row.place).unlink
    node.engine = Engine(model)

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.reason) == (AnalysisState.DONE, "")
    assert "secondary_capture" in {row.kind for row in reception.rows(ResultObject)}


def test_equal_answer_is_not_drawn_again(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception.receive(shown_mammogram())
    first = run_analysis(node, due_analysis(reception))

    def fail(*_: object) -> None:
        pytest.fail("the pixels are decoded again")

    monkeypatch.setattr(StudyFiles, "shown", fail)

    second = run_analysis(node, due_analysis(reception))

    assert (second.state, second.reason) == (AnalysisState.DONE, "")
    places = [[row.place for row in results_of(reception, one.id)] for one in (first, second)]
    assert places[0] == places[1] != []


@pytest.mark.parametrize("change", ["score", "settings", "site"])
def test_objects_are_made_anew_if_anything_that_they_are_made_of_is_new(
    runtime_with: Callable[..., Runtime], reception: Reception, change: str
) -> None:
    reception.receive(shown_mammogram())
    first = run_analysis(runtime_with(), due_analysis(reception))
    node = runtime_with(
        **{
            "score": {},
            "settings": {"results": ResultSettings(series_number_base=7000)},
            "site": {"results": ResultSettings(device_serial_number="ROOM 2")},
        }[change]
    )
    if change == "score":
        node.engine.score = 0.7

    second = run_analysis(node, due_analysis(reception))

    assert first.results_key != second.results_key
    places = [{row.place for row in results_of(reception, one.id)} for one in (first, second)]
    assert places[0] != places[1]


def test_object_whose_file_is_lost_is_made_again(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())
    first = run_analysis(node, due_analysis(reception))
    lost, *_ = results_of(reception, first.id)
    reception.spool.file(lost.place).unlink()

    second = run_analysis(node, due_analysis(reception))

    again, *kept = results_of(reception, second.id)
    assert again.sop_instance_uid == lost.sop_instance_uid
    assert again.place != lost.place
    assert reception.spool.file(again.place).is_file()
    assert [row.place for row in kept] == [row.place for row in results_of(reception, first.id)[1:]]


@pytest.fixture
def image(reception: Reception) -> ImageToAnalyse:
    row = reception.receive(shown_mammogram())
    path: Path = reception.spool.file(row.place)
    return ImageToAnalyse(sop_instance_uid=row.sop_instance_uid, path=path)


def drawn(image: ImageToAnalyse) -> DisplayPicture:
    header, stored = read_dataset(image.path), read_pixels(image.path)
    return show(header, stored.values, LONG_SIDE)


def test_image_is_kept_as_it_is_drawn(image: ImageToAnalyse) -> None:
    files, expected = StudyFiles(read_image, LONG_SIDE), drawn(image)
    files.keep(image, read_pixels(image.path))
    image.path.unlink()

    kept = files.shown(image.path, 1)

    assert isinstance(kept, DisplayPicture)
    assert np.array_equal(kept.pixels, expected.pixels)
    assert (kept.column_scale, kept.row_scale) == (expected.column_scale, expected.row_scale)
    assert max(kept.pixels.shape) == LONG_SIDE


def test_image_that_does_not_fit_is_decoded_again(image: ImageToAnalyse) -> None:
    files = StudyFiles(read_image, LONG_SIDE, kept_bytes=drawn(image).pixels.nbytes - 1)
    files.keep(image, read_pixels(image.path))
    image.path.unlink()

    with pytest.raises(PixelError):
        files.shown(image.path, 1)


def test_image_that_was_handed_out_makes_room_for_the_next(image: ImageToAnalyse) -> None:
    stored = read_pixels(image.path)
    files = StudyFiles(read_image, LONG_SIDE, kept_bytes=drawn(image).pixels.nbytes)
    files.keep(image, stored)
    files.shown(image.path, 1)
    files.keep(image, stored)
    image.path.unlink()

    assert isinstance(files.shown(image.path, 1), DisplayPicture)


def test_image_that_cannot_be_drawn_stops_nothing_before_the_objects_are_made(
    image: ImageToAnalyse,
) -> None:
    files, stored = StudyFiles(read_image, LONG_SIDE), read_pixels(image.path)

    files.keep(image, replace(stored, values=stored.values[1:]))

    assert not isinstance(files.shown(image.path, 1), DisplayPicture)
