"""Only what was received is analysed: a file that was changed since then fails its image."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.studies.ledger.states import AnalysisState
from worker.runtime import Runtime

Change = Callable[[Path], None]


def other_pixels(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-2] ^= 0xFF
    file.write_bytes(content)


def another_file_in_its_place(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(file.read_bytes()[:-2])
    other.rename(file)


def link_out_of_the_spool(file: Path) -> None:
    outside = Path(file.rename(file.parents[3] / "outside.dcm"))
    file.symlink_to(outside)


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    "change",
    [other_pixels, another_file_in_its_place, link_out_of_the_spool, pipe, Path.unlink],
)
def test_changed_file_fails_its_image_and_no_other(
    node: Runtime, reception: Reception, change: Change
) -> None:
    changed = reception.receive(shown_mammogram("CC"))
    good = reception.receive(shown_mammogram("MLO"))
    change(reception.spool.file(changed.place))

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is AnalysisState.DONE
    images = {one["sop_instance_uid"]: one for one in json.loads(analysis.findings)["images"]}
    assert images[good.sop_instance_uid]["status"] == "analysed"
    assert images[changed.sop_instance_uid]["status"] == "failed"
    assert "was changed since it was received" in images[changed.sop_instance_uid]["reason"]


def test_study_of_which_every_file_was_changed_fails(node: Runtime, reception: Reception) -> None:
    row = reception.receive(shown_mammogram("CC"))
    other_pixels(reception.spool.file(row.place))

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is AnalysisState.FAILED
    assert "was changed since it was received" in analysis.reason
