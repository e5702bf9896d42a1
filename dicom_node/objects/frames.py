"""The frames of an instance that have an answer, each as an image of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from mammoclip_core.findings import ImageFindings, ImageStatus
from mammoclip_core.images.header.functional_groups import frame_groups
from mammoclip_core.images.header.header_numbers import number_of
from mammoclip_core.images.header.views import value_of

ImageKey: TypeAlias = tuple[str, int]
"""SOP Instance UID and frame number."""

_GREY_GROUPS: Final = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
_GREY_KEYWORDS: Final = (
    *("RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
)


def key_of(image: ImageFindings) -> ImageKey:
    """Return what an image is found by."""
    return image.sop_instance_uid, image.frame


def name_of(image: ImageFindings) -> str:
    """Return what tells an image from all others of its study when UIDs are derived."""
    uid, frame = key_of(image)
    return uid if frame == 1 else f"{uid} {frame}"


def by_frame(images: Iterable[ImageFindings]) -> tuple[ImageFindings, ...]:
    """Split the answer of a multi-frame instance by the frames that its findings are of.

    Returns
    -------
    tuple of ImageFindings
        Of each instance first the frame that stands for it, with every finding that is below its
        threshold and has no region; then each further frame on which something was found.
    """
    return tuple(part for image in images for part in _parts_of(image))


def header_of_frame(source: Dataset, frame: int) -> Dataset:
    """Return a header that says of one frame how its values are shown, as single frames do.

    References
    ----------
    PS3.3 C.7.6.16.2.9 (Pixel Value Transformation), C.7.6.16.2.10 (Frame VOI LUT).
    """
    lifted = Dataset()
    for tag in source.keys():  # noqa: SIM118  a data set's items are read when they are iterated
        lifted[tag] = source.get_item(tag)
    for group in _GREY_GROUPS:
        for item in list(frame_groups(source, frame, group))[:1]:
            for keyword in _GREY_KEYWORDS:
                value = value_of(item, keyword)
                if value is not None and keyword not in lifted:
                    setattr(lifted, keyword, value)
    return lifted


def require_frames(images: Iterable[ImageFindings], sources: Mapping[str, Dataset]) -> None:
    """Make sure that each frame exists, and is answered once.

    Raises
    ------
    ObjectRefusedError
        Naming the instance.
    """
    seen: set[ImageKey] = set()
    for image in images:
        uid, frame = key_of(image)
        if (uid, frame) in seen:
            raise ObjectRefusedError(f"instance {uid} has two answers for frame {frame}")
        seen.add((uid, frame))
        source = sources.get(uid)
        if source is None or image.status is not ImageStatus.ANALYSED:
            continue
        frames = int(number_of(source, "NumberOfFrames", 1))
        if not 1 <= frame <= max(frames, 1):
            raise ObjectRefusedError(
                f"instance {uid} has {max(frames, 1)} frames (NumberOfFrames), "
                f"the findings speak of frame {frame}"
            )
        names = [finding.name for finding in image.findings]
        for name in names:
            if names.count(name) > 1:
                raise ObjectRefusedError(f"instance {uid} has two answers for {name}")


def _parts_of(image: ImageFindings) -> list[ImageFindings]:
    elsewhere = {
        finding.frame
        for finding in image.findings
        if finding.frame != image.frame and (finding.above_threshold or finding.regions)
    }
    standing = tuple(finding for finding in image.findings if finding.frame not in elsewhere)
    return [
        replace(image, findings=standing),
        *(
            replace(
                image,
                frame=frame,
                reason="",
                findings=tuple(finding for finding in image.findings if finding.frame == frame),
            )
            for frame in sorted(elsewhere)
        ),
    ]
