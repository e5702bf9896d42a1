"""A real worker goes on while its engine hangs or is busy, its decoder crashes, or memory grows."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import JPEGLSLossless
from sample_images import PHANTOM
from sending import all_stored, datasets_of, send
from services import BIN, Site, running, wait_for

LONG = pytest.mark.long
TESTS = Path(__file__).parents[1]
Start = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path, bundle: Path) -> Iterator[Site]:
    site = Site(tmp_path, bundle)
    with running(site, "broker", "node"):
        yield site


@pytest.fixture
def start(site: Site) -> Start:
    def begin(fault: str = "", *options: str, **settings: object) -> None:
        """Start the worker, with a fault planted in it, options and settings."""
        site.worker.environment = {
            **site.environment,
            **{f"MAMMOCLIP_{name.upper()}": str(value) for name, value in settings.items()},
            "PLANTED_FAULT": fault,
            "PLANTED_MARKER": str(site.folder / "has-happened"),
            "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(TESTS)]),
        }
        name = "planted_faults" if fault else "worker"
        site.worker.command = [str(BIN / "celery"), "-A", name, "worker", *options]
        site.worker.start()

    return begin


def send_study(site: Site, number: int = 0, compressed: int = -1) -> str:
    """Send a study of four views; if the number of one is given, that one alone is JPEG-LS."""
    datasets = datasets_of(PHANTOM)
    for place, dataset in enumerate(datasets):
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:56]}.{number}"
        if place != compressed:
            dataset.decompress(generate_instance_uid=False)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    assert datasets[compressed].file_meta.TransferSyntaxUID == JPEGLSLossless or compressed < 0
    assert all_stored(send(datasets, site.node_port))
    return str(datasets[0].StudyInstanceUID)


@pytest.mark.parametrize(
    ("stage", "engine"),
    [
        ("inference", "openvino"),
        pytest.param("inference", "torch", marks=LONG),
        pytest.param("drawing", "openvino", marks=LONG),
    ],
)
def test_study_at_which_a_stage_hung_is_done_by_the_next_process(
    site: Site, start: Start, stage: str, engine: str
) -> None:
    start(stage, model__engine=engine)

    uid = send_study(site)
    site.wait_for_condition(uid, "delivering")

    record = site.study_record(uid)
    assert record["analyses"][0]["attempts"] == 2
    assert f"overran its deadline of 1 s at stage {stage}" in str(record)
    assert site.worker.output().count("stage_overrun") == 1


@LONG
def test_worker_of_one_process_ends_and_does_the_study_when_it_is_started_again(
    site: Site, start: Start
) -> None:
    start("inference", "--pool", "solo")
    uid = send_study(site)
    worker = site.worker.process
    assert worker is not None
    assert worker.wait(120) == 1

    start("inference", "--pool", "solo")
    site.wait_for_condition(uid, "delivering")

    assert "at stage inference" in str(site.study_record(uid))


@LONG
def test_study_of_a_process_that_was_stopped_is_done_by_the_next_one(
    site: Site, start: Start
) -> None:
    start(work__watchdog_seconds=4)
    site.wait_for_condition(send_study(site, 1), "delivering")
    worker = site.worker.process
    assert worker is not None
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGSTOP)

    site.wait_for_condition(send_study(site, 2), "delivering")

    assert site.worker.output().count("process_frozen") == len(children)


def test_image_at_which_the_decoder_crashes_is_left_out_of_its_study(
    site: Site, start: Start
) -> None:
    start("abort")

    uid = send_study(site, compressed=2)
    site.wait_for_condition(uid, "delivering")

    record = site.study_record(uid)
    assert record["analyses"][0]["attempts"] == 1
    assert "1 of 4 images could not be read" in str(record)
    assert "the image crashes its decoder" in site.worker.output()


@LONG
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_process_whose_memory_has_grown_is_replaced(site: Site, start: Start, pool: str) -> None:
    start("", "--pool", pool, work__worker_memory_bytes=1)
    uid = send_study(site, 1)

    if pool == "solo":
        worker = site.worker.process
        assert worker is not None
        wait_for(lambda: worker.poll() is not None, seconds=120, what="the worker has ended")
        assert worker.returncode == 1
        start("", "--pool", pool, work__worker_memory_bytes=10**11)
    else:
        site.wait_for_condition(uid, "delivering")
    site.wait_for_condition(send_study(site, 2), "delivering")
    site.wait_for_condition(uid, "delivering")

    assert "worker_memory_grown" in site.worker.output()
    # Of a pool, the process after the second study may have loaded its model already.
    assert site.worker.output().count("model_loaded") in ((2,) if pool == "solo" else (2, 3))
    assert [one["attempts"] for one in site.study_record(uid)["analyses"]] == [1]


@LONG
def test_results_of_a_study_are_written_while_the_model_computes_another(
    site: Site, start: Start
) -> None:
    """As two processes for each GPU do by default; one process would wait for itself."""
    start("overlap", "--concurrency", "2")

    uids = [send_study(site, number) for number in (1, 2)]
    for uid in uids:
        site.wait_for_condition(uid, "delivering")

    assert [one["attempts"] for uid in uids for one in site.study_record(uid)["analyses"]] == [1, 1]
    assert (site.folder / "results-are-written").exists()
