"""Prepared pictures as one array of uint8 on disk: pretraining reads it without decoding."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import CoreError
from mammoclip_core.images.folder_walk import paths_below
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.manifest import PUBLISHED_MODE, Preprocessing
from training.data.array_file import new_array
from training.data.data_facts import content_digests
from training.data.image_files import said_of
from training.data.image_source import ARRAY_NAME, NAMES_NAME
from training.data.picture_check import require_usable
from training.errors import SettingsError, TableError
from training.preparation.processes import ProcessDiedError, worked
from training.terminal import NOTHING_SAID, Progress, Say
from training.whole_file import require_writable, write_whole

_ENDINGS: Final = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
_MARKS: Final = "packed.json"
_AT_ONCE: Final = 256
"""Pictures after which the array is on disk, and counts as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOrder:
    """Pictures that are to become an array.

    Attributes
    ----------
    source : folder of pictures; sub-folders are part of their names
    out : folder of the array, which `pretrain` takes in place of `source`
    size : (rows, columns) of the model's input
    skip_unreadable : bool
        Leave out missing and damaged pictures; they are refused otherwise.
    """

    source: Path
    out: Path
    size: tuple[int, int]
    processes: int = 1
    skip_unreadable: bool = False


def pack_pictures(order: PackOrder, progress: Progress, say: Say = NOTHING_SAID) -> int:
    """Write each picture as a model of this size is shown it; takes up what a killed run left.

    Returns
    -------
    int
        Pictures in the array.

    Raises
    ------
    TableError
        There is no picture, or some cannot be read.
    SettingsError
        The folder holds an array of another size, of other pictures, or of what these held before.
    OSError
        The disk is full.
    """
    require_writable(order.out)
    files = [path for path in paths_below(order.source) if path.suffix.lower() in _ENDINGS]
    gone = require_usable(files, skip=order.skip_unreadable, say=say)
    files = [path for path in files if path not in gone]
    names = [path.relative_to(order.source).as_posix() for path in files]
    if not names:
        raise TableError(f"{order.source}: there is no picture in this folder")
    pictures = dict(zip(names, content_digests(files), strict=True))
    order.out.mkdir(parents=True, exist_ok=True)
    if (order.out / NAMES_NAME).is_file():
        _require_same(order, pictures)
        return len(names)
    facts = {"pictures": _digest([order.size, pictures])}
    images, done = _opened(order, facts, len(names))
    with progress("pictures", len(names)) as advance:
        for _ in range(done):
            advance()
        for start in range(done, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            for name, grey in _prepared(order, part):
                images[start + part.index(name)] = grey
                advance()
            images.flush()
            _write(order.out / _MARKS, facts | {"done": start + len(part)})
    _write(order.out / NAMES_NAME, pictures)
    (order.out / _MARKS).unlink()
    return len(names)


def _opened(order: PackOrder, facts: dict[str, str], count: int) -> tuple[Any, int]:
    """Return the array, mapped from disk, and how many of its pictures are written."""
    path, marks = order.out / ARRAY_NAME, order.out / _MARKS
    done = 0
    if marks.is_file():
        kept = json.loads(marks.read_text(encoding="utf-8"))
        done = int(kept.pop("done"))
        if kept != facts:
            raise SettingsError(
                f"{order.out} holds a part of an array of other pictures, or of what these held "
                "before: delete it, or name another --out"
            )
    elif path.exists():
        raise SettingsError(f"{path} is there, and is not of this command: name another --out")
    if done:
        return np.lib.format.open_memmap(path, mode="r+"), done
    _write(marks, facts | {"done": 0})
    return new_array(path, np.uint8, (count, *order.size)), 0


def _require_same(order: PackOrder, pictures: dict[str, str]) -> None:
    out = order.out
    held = json.loads((out / NAMES_NAME).read_text(encoding="utf-8"))
    shape = np.load(out / ARRAY_NAME, mmap_mode="r").shape
    if list(held) != list(pictures) or shape[1:] != order.size:
        raise SettingsError(
            f"{out} holds an array of {len(held)} pictures of {shape[1]} x {shape[2]}, and not "
            "these: delete it, or name another --out"
        )
    known = held if isinstance(held, dict) else {}  # a list of names says nothing of what they held
    changed = [name for name, digest in pictures.items() if known.get(name) != digest]
    if changed:
        raise SettingsError(
            f"{len(changed)} of {len(pictures)} pictures are not what they were when {out} was "
            f"written, {changed[0]} the first: delete it, or name another --out"
        )


def _prepared(order: PackOrder, names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    work = partial(_grey, order.source, order.size)
    if order.processes == 1:
        yield from ((name, work(name)) for name in names)
        return
    for name, result in worked(work, names, order.processes):
        if isinstance(result, ProcessDiedError):
            raise ProcessDiedError(f"{order.source / name}: {result}")
        yield name, result


def _grey(source: Path, size: tuple[int, int], name: str) -> NDArray[np.uint8]:
    cv2.setNumThreads(1)
    rows, columns = size
    preprocessing = Preprocessing(
        mode=PUBLISHED_MODE, rows=rows, columns=columns, mean=0.0, std=1.0
    )
    try:
        grey = prepare(read_image(source / name), preprocessing).grey
    except CoreError as error:
        raise TableError(said_of(source / name, error)) from error
    return np.asarray(grey, np.uint8)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _write(path: Path, content: object) -> None:
    write_whole(path, json.dumps(content))
