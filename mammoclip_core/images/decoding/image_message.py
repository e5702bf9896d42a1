"""A decoded image as a table for JSON and a block of memory: how it passes between processes.

Nothing of it is code, as a pickle would be: the process that decodes is not trusted.
"""

from dataclasses import asdict
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.stored_image import (
    DisplayHeader,
    LookUpTable,
    ProjectionHeader,
    StoredImage,
    Window,
)

_TABLES: Final = ("modality_table", "voi_table")
_KINDS: Final = frozenset({"uint8", "int8", "uint16", "int16"})


def to_message(image: StoredImage) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Return what JSON can hold of an image, and its arrays in the order that the memory has."""
    arrays = [np.ascontiguousarray(image.values)]
    display = image.display
    tables: dict[str, Any] = {}
    for name in _TABLES:
        table: LookUpTable | None = getattr(display, name)
        if table is not None:
            tables[name] = {
                "first": table.first,
                "bits": table.bits,
                "entries": len(table.entries),
            }
            arrays.append(np.ascontiguousarray(table.entries, np.uint16))
    content = {
        "sop_instance_uid": image.sop_instance_uid,
        "photometric_interpretation": image.photometric_interpretation,
        "rescale_slope": image.rescale_slope,
        "rescale_intercept": image.rescale_intercept,
        "bits_stored": image.bits_stored,
        "frame": image.frame,
        "number_of_frames": image.number_of_frames,
        "is_prepared": image.is_prepared,
        "may_be_prepared": image.may_be_prepared,
        "remark": image.remark,
    }
    shape = [str(image.values.dtype), *image.values.shape]
    window = asdict(display.window) if display.window else None
    header = {
        "is_inverted": display.is_inverted,
        "padding": display.padding,
        "pixel_aspect": float(display.pixel_aspect),
        "window": window,
    }
    projection = asdict(image.projection) if image.projection else None
    message = {
        "content": content,
        "shape": shape,
        "display": header,
        "tables": tables,
        "projection": projection,
    }
    return message, arrays


def from_message(message: dict[str, Any], memory: NDArray[np.uint8]) -> StoredImage:
    """Return the image of a message, its arrays parts of the memory; raises what is malformed.

    Raises
    ------
    ValueError, KeyError, TypeError
        The memory is too small, or the message is not one of `to_message`.
    """
    kind, rows, columns = message["shape"]
    if kind not in _KINDS:
        raise ValueError(f"values of kind {kind} are not expected")
    values, start = _part(memory, 0, kind, (rows, columns))
    tables: dict[str, LookUpTable] = {}
    for name in _TABLES:
        if name in message["tables"]:
            table = message["tables"][name]
            entries, start = _part(memory, start, "uint16", (table["entries"],))
            tables[name] = LookUpTable(entries=entries, first=table["first"], bits=table["bits"])
    header = message["display"]
    return StoredImage(
        **message["content"],
        values=values,
        display=DisplayHeader(
            **tables,
            window=Window(**header["window"]) if header["window"] else None,
            is_inverted=header["is_inverted"],
            padding=tuple(header["padding"]) if header["padding"] else None,
            pixel_aspect=header["pixel_aspect"],
        ),
        projection=_projection_of(message["projection"]),
    )


def _projection_of(content: dict[str, Any] | None) -> ProjectionHeader | None:
    if content is None:
        return None
    spacing, orientation = content["spacing_mm"], content["orientation"]
    return ProjectionHeader(
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        orientation=None if orientation is None else (str(orientation[0]), str(orientation[1])),
        is_whole_breast=content["is_whole_breast"] is True,
        acquired_on=str(content["acquired_on"]),
    )


def _part(
    memory: NDArray[np.uint8], start: int, kind: str, shape: tuple[int, ...]
) -> tuple[NDArray[Any], int]:
    """Return an array of the memory, and where the next one begins."""
    stop = start + prod(shape) * np.dtype(kind).itemsize
    if start > stop or stop > len(memory):
        raise ValueError("the memory is smaller than the image")
    # Each begins at an even byte or holds bytes: a copy of a table costs nothing.
    return np.frombuffer(memory[start:stop].data, kind).reshape(shape), stop
