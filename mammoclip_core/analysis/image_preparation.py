"""From the file of one image to what the model is shown of it, and what is measured beside that."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from mammoclip_core.analysis.study_request import ImageToAnalyse
from mammoclip_core.errors import PixelError
from mammoclip_core.images.breast_geometry import breast_geometry_of
from mammoclip_core.images.breast_outline import breast_outline
from mammoclip_core.images.detector_input import to_detector_input
from mammoclip_core.images.pixel_statistics import pixel_statistics
from mammoclip_core.images.preprocessing import PreparedImage, prepare
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Manifest

if TYPE_CHECKING:
    from mammoclip_core.images.image_file import ReadImage


def prepared_image(
    image: ImageToAnalyse,
    manifest: Manifest,
    on_decoded: Callable[[ImageToAnalyse, StoredImage], object] | None,
    read: "ReadImage | None",
) -> PreparedImage | PixelError:
    """Decode one image and prepare it; return why that cannot be done, if so.

    What is measured of whole breasts, their geometry and statistics of their pixels, is measured
    here too, of the pixels that are decoded for the model.

    Parameters
    ----------
    read : reads images otherwise than in this process
    """
    # Imported on the threads that decode: while they do so, the model is still being compiled.
    from mammoclip_core.images.image_file import read_image

    try:
        stored = (read or read_image)(image.path, image.frame)
        if stored.sop_instance_uid == image.sop_instance_uid:
            if on_decoded is not None:
                on_decoded(image, stored)
            prepared = prepare(stored, manifest.preprocessing)
            if stored.is_whole_breast:
                outline = breast_outline(stored)
                prepared = replace(
                    prepared,
                    is_whole_breast=True,
                    breast=breast_geometry_of(stored, outline),
                    pixels=pixel_statistics(stored, outline),
                )
            if not manifest.detectors:
                return prepared
            return replace(prepared, detector_values=to_detector_input(prepared.grey))
    except PixelError as error:
        return error
    return PixelError(f"{image.sop_instance_uid}: the file holds {stored.sop_instance_uid}")
