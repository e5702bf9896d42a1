from pathlib import Path

import numpy as np
import pytest

from mammoclip_core.analysis.heatmap_files import read_heatmaps, write_heatmaps
from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import Heatmap


def heatmap(sop_instance_uid: str = "1.2.3") -> Heatmap:
    return Heatmap(
        sop_instance_uid=sop_instance_uid,
        frame=2,
        finding="mass",
        values=np.arange(6, dtype=np.float32).reshape(2, 3) / 6,
        extent=(5.0, 7.0, 100.0, 90.0),
    )


def test_heatmap_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_heatmaps([heatmap("1.1"), heatmap("1.2")], tmp_path / "new")

    first, second = read_heatmaps(tmp_path / "new")

    assert (first.sop_instance_uid, second.sop_instance_uid) == ("1.1", "1.2")
    assert (second.frame, second.finding, second.extent) == (2, "mass", (5.0, 7.0, 100.0, 90.0))
    np.testing.assert_array_equal(second.values, heatmap().values)


def test_identifier_never_becomes_a_path(tmp_path: Path) -> None:
    (path,) = write_heatmaps([heatmap("../../outside")], tmp_path)

    assert path == tmp_path / "heatmap-0001.npz"


def test_file_that_is_no_heatmap_is_refused(tmp_path: Path) -> None:
    (tmp_path / "heatmap-0001.npz").write_bytes(b"PK\x03\x04 not really")

    with pytest.raises(FindingsFormatError, match=r"heatmap-0001\.npz"):
        read_heatmaps(tmp_path)


def test_pickled_object_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "heatmap-0001.npz", extent=np.array([{"a": 1}], dtype=object))

    with pytest.raises(FindingsFormatError):
        read_heatmaps(tmp_path)
