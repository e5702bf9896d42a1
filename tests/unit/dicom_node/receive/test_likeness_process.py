"""The comparison of two images runs in a process that may die, and says so in words."""

import sys
from pathlib import Path

import pytest
from corrected_images import CORRECTED, copy_of, other_pixels, pictured
from node_factory import put
from structlog.testing import capture_logs

from dicom_node.facts.image_comparison import likeness_of
from dicom_node.facts.likeness import Sameness
from dicom_node.receive.registration import likeness_child, likeness_process
from dicom_node.receive.registration.likeness_process import compared
from dicom_node.spool.local_disk import Spool


@pytest.fixture
def pair(spool: Spool) -> tuple[Path, Path]:
    first = pictured()
    kept, new = (put(spool, one) for one in (first, copy_of(first, **CORRECTED)))
    return spool.incoming_file(kept), spool.incoming_file(new)


def test_process_says_what_the_function_says(pair: tuple[Path, Path]) -> None:
    kept, new = pair

    assert compared(kept, new) == likeness_of(kept, new)
    assert compared(kept, new).changed == tuple(sorted(CORRECTED))
    assert compared(None, new) == likeness_of(None, new)


def test_comparison_that_takes_too_long_is_ended_and_counts_as_different(
    pair: tuple[Path, Path],
) -> None:
    found = compared(*pair, seconds=0.01)

    assert found.verdict is Sameness.DIFFERENT
    assert "takes too much memory or time" in found.detail


def test_comparison_that_dies_twice_counts_as_different(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness_process.sys, "executable", "/bin/false")

    with capture_logs() as lines:
        assert compared(*pair).verdict is Sameness.DIFFERENT

    assert [line["event"] for line in lines] == ["comparison_ended"] * 2


def test_comparison_that_was_killed_once_costs_nothing(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_once = tmp_path / "python"
    killed_once.write_text(
        f'#!/bin/sh\nmkdir {tmp_path}/was-killed 2>&- && kill -9 $$\nexec {sys.executable} "$@"\n'
    )
    killed_once.chmod(0o700)
    monkeypatch.setattr(likeness_process.sys, "executable", str(killed_once))

    assert compared(*pair) == likeness_of(*pair)
    assert (tmp_path / "was-killed").is_dir()


def test_file_that_the_system_cannot_read_says_nothing_of_the_images(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    kept, _ = pair

    with pytest.raises(OSError, match="cannot be read"):
        compared(kept, tmp_path)  # a folder: it can be opened as little as a file of a broken disk


def test_memory_of_a_comparison_is_bounded(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert likeness_child.MAXIMUM_MEMORY_BYTES <= 4 * 2**30
    first = pictured()
    kept, new = (spool.incoming_file(put(spool, one)) for one in (first, other_pixels(first)))

    def out_of_memory(*_: object) -> None:
        raise MemoryError

    # What cannot be decoded for want of memory is not damaged: nothing gives way to it.
    monkeypatch.setattr("mammoclip_core.images.decoding.dicom_file._decode", out_of_memory)
    with pytest.raises(MemoryError):
        likeness_of(kept, new)
