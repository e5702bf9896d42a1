"""Heatmaps as files, so that another process can make pictures of them."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import Heatmap


def write_heatmaps(heatmaps: Iterable[Heatmap], folder: Path) -> tuple[Path, ...]:
    """Write one ``heatmap-N.npz`` a heatmap into a folder, which is made if need be.

    The names are numbers: no UID from outside becomes part of a path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, heatmap in enumerate(heatmaps, start=1):
        path = folder / f"heatmap-{number:04d}.npz"
        np.savez_compressed(
            path,
            values=heatmap.values.astype(np.float32),
            extent=np.array(heatmap.extent, dtype=np.float64),
            sop_instance_uid=np.array(heatmap.sop_instance_uid),
            frame=np.array(heatmap.frame),
            finding=np.array(heatmap.finding),
        )
        paths.append(path)
    return tuple(paths)


def read_heatmaps(folder: Path) -> tuple[Heatmap, ...]:
    """Read the heatmaps of a folder in the order in which they were written.

    Raises
    ------
    FindingsFormatError
        A file is not a heatmap; nothing in it is ever executed.
    """
    return tuple(_read(path) for path in sorted(folder.glob("heatmap-*.npz")))


def _read(path: Path) -> Heatmap:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            left, top, right, bottom = (float(edge) for edge in arrays["extent"])
            rows, columns = arrays["values"].shape
            return Heatmap(
                sop_instance_uid=str(arrays["sop_instance_uid"]),
                frame=int(arrays["frame"]),
                finding=str(arrays["finding"]),
                values=arrays["values"].astype(np.float32).reshape(rows, columns),
                extent=(left, top, right, bottom),
            )
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FindingsFormatError(f"{path.name} is not a heatmap: {error}") from error
