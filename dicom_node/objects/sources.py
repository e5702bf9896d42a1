"""The images of a study as the builders are given them, and what they must have."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.drawing.rendering import DisplayPicture, show
from dicom_node.objects.findings.outlines import require_inside
from dicom_node.objects.frames import header_of_frame, require_frames
from dicom_node.objects.terms.wording import words_of
from mammoclip_core.findings import Finding, ImageFindings, ImageStatus
from mammoclip_core.images.header.header_numbers import number_of

StoredValues = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInstance:
    """One image of the study as the builders need it.

    Attributes
    ----------
    dataset : header, pixel data not needed
    pixels : (rows, columns) stored values, or what returns those of a frame by its number, or None
        Or what returns a frame drawn already. None is right for an image that was not analysed.
    """

    dataset: Dataset
    pixels: Callable[[int], StoredValues | DisplayPicture] | StoredValues | None = None

    def shown(self, frame: int, long_side: int) -> DisplayPicture:
        """Return one frame as a viewer shows it; it is decoded at each call, or drawn already.

        Parameters
        ----------
        long_side : pixels
            Of the picture, at most.

        Raises
        ------
        ObjectRefusedError
            There are no pixels, or they are not those of one monochrome frame of this image.
        """
        if self.pixels is None:
            raise ObjectRefusedError(
                f"instance {self.dataset.SOPInstanceUID} was analysed but its pixels are not given"
            )
        pixels = self.pixels(frame) if callable(self.pixels) else self.pixels
        if isinstance(pixels, DisplayPicture):
            return pixels
        return show(header_of_frame(self.dataset, frame), pixels, long_side)


def require_sources(images: Sequence[ImageFindings], by_uid: Mapping[str, SourceInstance]) -> None:
    """Make sure that there is an image for each answer, with its frame and with room for regions.

    Raises
    ------
    ObjectRefusedError
        Naming the instance and the attribute.
    """
    require_frames(images, {uid: source.dataset for uid, source in by_uid.items()})
    for image in images:
        uid = image.sop_instance_uid
        if image.status is not ImageStatus.ANALYSED:
            continue
        if uid not in by_uid:
            raise ObjectRefusedError(f"instance {uid} is not among the sources")
        if not has_size(by_uid[uid].dataset):
            raise ObjectRefusedError(f"instance {uid} has no Rows or no Columns")
        size = (int(by_uid[uid].dataset.Rows), int(by_uid[uid].dataset.Columns))
        for finding in image.findings:
            for region in finding.regions:
                with _naming(finding):
                    require_inside(region, size, uid)


@contextmanager
def _naming(finding: Finding) -> Iterator[None]:
    """Say whose region it is that an error speaks of."""
    try:
        yield
    except ObjectRefusedError as error:
        raise ObjectRefusedError(f"finding {words_of(finding.name)}: {error}") from error


def has_size(dataset: Dataset) -> bool:
    """Tell whether a header says how large its image is."""
    return number_of(dataset, "Rows", 0) >= 1 and number_of(dataset, "Columns", 0) >= 1
