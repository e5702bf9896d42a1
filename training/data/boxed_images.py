"""Images with the boxes of what they show, from the finding table, on the model's input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammoclip_core.errors import PixelError
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import PUBLISHED_SIZE, PreparedImage, prepare
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Preprocessing
from training.data.boxes import Boxes
from training.data.data_facts import facts_of_data
from training.data.image_files import find_named, said_of
from training.data.picture_check import require_usable
from training.data.prepared_size import prepared_size
from training.data.splits import check_no_leak
from training.data.table_formats import VINDR_FINDINGS
from training.data.table_reading import read_table
from training.errors import TableError
from training.reports.report_synthesis import Attribute
from training.terminal import Say

BOXED_FINDINGS: Final = ("mass", "suspicious_calcification")
"""What the paper localises and its detectors find."""

_RESIZED: Final = ("resized_xmin", "resized_ymin", "resized_xmax", "resized_ymax")
_STORED: Final = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxedImage:
    """What is true of one image.

    Attributes
    ----------
    file : DICOM or a picture
    size : (rows, columns) that the boxes are in pixels of
    shown : attributes that any row of the image names, with a box or without
    boxes : by attribute; nothing where there is no box
    sizes_mm : (N,) longest extent of each box's lesion, by attribute; NaN where it is not known
    """

    image_id: str
    file: Path
    patient_id: str
    split: str
    size: tuple[int, int]
    shown: frozenset[Attribute]
    boxes: Mapping[Attribute, Boxes]
    sizes_mm: Mapping[Attribute, NDArray[np.float64]]

    def prepared(self, preprocessing: Preprocessing) -> PreparedImage:
        """Read the image as a node prepares it.

        Raises
        ------
        PixelError
            The file cannot be read; the message names it.
        TableError
            The file has another size than the boxes were drawn on.
        """
        try:
            return prepare(self._stored(), preprocessing)
        except PixelError as error:
            raise PixelError(said_of(self.file, error)) from error

    def _stored(self) -> StoredImage:
        stored = read_image(self.file)
        if self.boxes and (stored.rows, stored.columns) != self.size:
            raise TableError(
                f"{self.file} has {stored.rows} x {stored.columns} pixels, its boxes are for"
                f" {self.size[0]} x {self.size[1]}: use a picture and a table that were prepared"
                " together, the table in the folder that prepare wrote"
            )
        return stored

    def boxes_on(self, attribute: Attribute, prepared: PreparedImage) -> Boxes:
        """Return the boxes of an attribute in pixels of the model's input, (N, 4)."""
        boxes = self.boxes.get(attribute, np.zeros((0, 4)))
        geometry = prepared.geometry
        ends = np.array([geometry.input_columns, geometry.input_rows], np.float64)
        corners = [
            np.clip(geometry.to_input(part), 0, ends) for part in (boxes[:, :2], boxes[:, 2:])
        ]
        return np.concatenate(corners, axis=1)

    def sizes_of(self, attribute: Attribute) -> NDArray[np.float64]:
        """Return the sizes of an attribute's lesions in mm, one a box."""
        return self.sizes_mm.get(attribute, np.zeros(0))


class PreparedFiles:
    """The images as pretraining's sources give them: by image_id, (1, rows, columns) in [0, 1]."""

    def __init__(self, images: Sequence[BoxedImage], preprocessing: Preprocessing) -> None:
        self._images = {image.image_id: image for image in images}
        self._preprocessing = preprocessing

    def __call__(self, name: str) -> Tensor:
        """Return one image."""
        values = self._images[name].prepared(self._preprocessing).values
        return torch.from_numpy(values)[None] * self._preprocessing.std + self._preprocessing.mean


def with_usable_pictures(images: Sequence[BoxedImage], *, skip: bool, say: Say) -> list[BoxedImage]:
    """Leave out images whose pictures are missing or damaged, or refuse them: TableError."""
    gone = require_usable([image.file for image in images], skip=skip, say=say)
    left = [image for image in images if image.file not in gone]
    if not left:
        raise TableError("none of the table's pictures can be used")
    return left


def facts_of(images: Sequence[BoxedImage], preprocessing: Preprocessing) -> dict[str, str]:
    """Return what a training on these images depends on; lesions' sizes are only judged by."""
    said = [
        [
            image.image_id,
            image.patient_id,
            image.split,
            [int(edge) for edge in image.size],
            sorted(image.shown),
            {attribute: boxes.tolist() for attribute, boxes in sorted(image.boxes.items())},
        ]
        for image in images
    ]
    return facts_of_data([image.file for image in images], said, preprocessing)


def read_boxed_images(
    table: Path,
    folders: Sequence[Path],
    truth: Path | None = None,
    *,
    may_be_missing: bool = False,
) -> list[BoxedImage]:
    """Read the images of VinDr-Mammo's finding table, in the order of their first rows.

    The boxes that were moved along with the pictures are taken where the table has them: in pixels
    of the size that stands beside a table of ``prepare``, or of the published one. Else its own,
    which must then be in pixels of images of the stated height and width.

    Parameters
    ----------
    folders : where the images lie, at any depth
    truth : table of lesions' sizes, as `training.phantoms` writes it, or None
    may_be_missing : bool
        Keep rows whose image is missing, for `with_usable_pictures`.

    Raises
    ------
    TableError
        A table is not of its format, images are missing, or boxes were not moved along.
    LeakError
        A study is in both splits.
    """
    frame = read_table(table, VINDR_FINDINGS)
    check_no_leak(frame["study_id"].tolist(), frame["split"].tolist())
    is_resized = set(_RESIZED) <= set(frame.columns)
    columns = _RESIZED if is_resized else _STORED
    resized_to = prepared_size(table) or PUBLISHED_SIZE
    stored, boxes = (frame[list(names)].to_numpy(np.float64) for names in (_STORED, columns))
    left_behind = np.flatnonzero(~np.isnan(stored[:, 0]) & np.isnan(boxes[:, 0]))
    if left_behind.size:
        lines = ", ".join(str(frame.index[place]) for place in left_behind[:10])
        raise TableError(f"{table}: boxes without their resized ones in lines {lines}")
    heads = frame.groupby("image_id", sort=False).first()
    files = find_named(
        folders,
        heads["study_id"].tolist(),
        heads.index.tolist(),
        table,
        may_be_missing=may_be_missing,
    )
    images = []
    for (name, rows), file in zip(frame.groupby("image_id", sort=False), files, strict=True):
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
                image_id=name,
                file=file,
                patient_id=first["study_id"],
                split=first["split"],
                size=resized_to if is_resized else (first["height"], first["width"]),
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
        raise TableError(
            f"tables of boxes do not know the finding {finding!r}: choose one of {', '.join(known)}"
        )
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
        raise TableError(f"{truth} cannot be read as a table of lesion sizes: {error}") from error
    sizes = {(name, category, tuple(box)): size for name, category, box, size in rows}
    return [
        replace(
            image,
            sizes_mm={
                attribute: np.array(
                    [
                        sizes.get((image.image_id, attribute.value, tuple(box)), np.nan)
                        for box in boxes.tolist()
                    ]
                )
                for attribute, boxes in image.boxes.items()
            },
        )
        for image in images
    ]
