"""Images with the boxes of what they show, from the finding table and the tables beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.errors import TableError
from training.report_synthesis import Attribute
from training.splits import check_no_leak
from training.tables import VINDR_FINDINGS, read_table

Boxes = NDArray[np.float64]
"""(N, 4): left, top, right, bottom, in pixels, right and bottom being outside."""

PICTURE_SIZE: Final = (1520, 912)
"""Rows and columns of the published pictures, on which the resized boxes lie."""

_RESIZED: Final = ("resized_xmin", "resized_ymin", "resized_xmax", "resized_ymax")
_STORED: Final = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxedImage:
    """What is true of one picture.

    Attributes
    ----------
    name : path of the picture below its folder
    size : (rows, columns) that the boxes are in pixels of
    shown : attributes that any row of the image names, with a box or without
    boxes : by attribute; nothing where there is no box
    sizes_mm : (N,) longest extent of each box's lesion, by attribute; NaN where it is not known
    """

    name: str
    patient_id: str
    split: str
    size: tuple[int, int]
    shown: frozenset[Attribute]
    boxes: Mapping[Attribute, Boxes]
    sizes_mm: Mapping[Attribute, NDArray[np.float64]]

    def boxes_on(self, attribute: Attribute, size: tuple[int, int]) -> Boxes:
        """Return the boxes of an attribute in pixels of another (rows, columns)."""
        scale = np.array([size[1] / self.size[1], size[0] / self.size[0]] * 2)
        return self.boxes.get(attribute, np.zeros((0, 4))) * scale

    def sizes_of(self, attribute: Attribute) -> NDArray[np.float64]:
        """Return the sizes of an attribute's lesions in mm, one a box."""
        return self.sizes_mm.get(attribute, np.zeros(0))


def read_boxed_images(table: Path, truth: Path | None = None) -> list[BoxedImage]:
    """Read the images of VinDr-Mammo's finding table, in the order of their first rows.

    The boxes that were moved along with the pictures are taken where the table has them; else its
    own, which must then be in pixels of pictures of the stated height and width.

    Parameters
    ----------
    truth : table of lesions' sizes, as `training.phantoms` writes it, or None

    Raises
    ------
    TableError
        A table is not of its format, or the table has boxes that were not moved along.
    LeakError
        A study is in both splits.
    """
    frame = read_table(table, VINDR_FINDINGS)
    check_no_leak(frame["study_id"].tolist(), frame["split"].tolist())
    is_resized = set(_RESIZED) <= set(frame.columns)
    columns = _RESIZED if is_resized else _STORED
    stored, boxes = (frame[list(names)].to_numpy(np.float64) for names in (_STORED, columns))
    left_behind = np.flatnonzero(~np.isnan(stored[:, 0]) & np.isnan(boxes[:, 0]))
    if left_behind.size:
        lines = ", ".join(str(place + 2) for place in left_behind[:10])
        raise TableError(f"{table}: boxes without their resized ones in lines {lines}")
    images = []
    for name, rows in frame.groupby("image_id", sort=False):
        places = frame.index.get_indexer(rows.index)
        first = rows.iloc[0]
        named = [_attributes(categories) for categories in rows["finding_categories"]]
        known = ~np.isnan(boxes[places, 0])
        of = {
            attribute: places[known & np.array([attribute in row for row in named])]
            for attribute in Attribute
        }
        images.append(
            BoxedImage(
                name=f"{first['study_id']}/{name}.png",
                patient_id=first["study_id"],
                split=first["split"],
                size=PICTURE_SIZE if is_resized else (first["height"], first["width"]),
                shown=frozenset(attribute for row in named for attribute in row),
                boxes={key: boxes[own] for key, own in of.items() if len(own)},
                sizes_mm={key: np.full(len(own), np.nan) for key, own in of.items() if len(own)},
            )
        )
    return images if truth is None else _measured(images, truth)


def finding_name(attribute: Attribute) -> str:
    """Return what a bundle calls the finding of an attribute, such as ``mass``."""
    return attribute.value.lower().replace(" ", "_")


def attribute_of(finding: str) -> Attribute:
    """Return the attribute of a bundle's finding; raises TableError where there is none."""
    known = {finding_name(attribute): attribute for attribute in Attribute}
    if finding not in known:
        raise TableError(f"finding {finding!r} is none of the table's: {', '.join(known)}")
    return known[finding]


def _attributes(categories: Sequence[str]) -> frozenset[Attribute]:
    known = {attribute.value: attribute for attribute in Attribute}
    return frozenset(known[name] for name in categories if name in known)


def _measured(images: Sequence[BoxedImage], truth: Path) -> list[BoxedImage]:
    """Give boxes the sizes of the lesions that have the same box in a table of lesions."""
    import pandas as pd

    try:
        table = pd.read_csv(truth, dtype={"image_id": str})
        rows = list(
            zip(
                table["image_id"],
                table["category"],
                table[list(_STORED)].to_numpy(np.float64).tolist(),
                table["size_mm"].astype(float),
                strict=True,
            )
        )
    except (KeyError, ValueError) as error:
        raise TableError(f"{truth}: no table of lesions with their sizes: {error}") from error
    sizes = {(name, category, tuple(box)): size for name, category, box, size in rows}
    return [
        replace(
            image,
            sizes_mm={
                attribute: np.array(
                    [
                        sizes.get((Path(image.name).stem, attribute.value, tuple(box)), np.nan)
                        for box in boxes.tolist()
                    ]
                )
                for attribute, boxes in image.boxes.items()
            },
        )
        for image in images
    ]
