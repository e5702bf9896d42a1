"""From files on disk to a study request: which images belong to which study."""

from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import Final

from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
from mammoclip_core.errors import CoreError
from mammoclip_core.images.dicom_file import ImageHeader, is_dicom_file, read_header
from mammoclip_core.images.picture_file import raster_format
from mammoclip_core.images.tomosynthesis import Tomosynthesis, frames_to_look_at, refusal_of

NO_STUDY: Final = "files"
"""Stands for the Study Instance UID of pictures, which have none."""

FOR_PROCESSING_REMARK = "For Processing: unlike the images that models are trained on"


class StudyChoiceError(CoreError):
    """The files hold no image, or images of several studies and nobody said which."""


def request_from(
    paths: Iterable[Path],
    study_instance_uid: str | None = None,
    tomosynthesis: Tomosynthesis = Tomosynthesis.REFUSE,
) -> StudyRequest:
    """Gather the images of one study from files and folders.

    In a folder, files that are neither DICOM nor pictures and instances that are no images are
    passed over; a file that is named must be an image. Pictures (PNG, JPEG, TIFF) are named by
    their path and make up one study, whose UID is `NO_STUDY`.

    Parameters
    ----------
    study_instance_uid : UID or None
        Which study, where the paths hold several.
    tomosynthesis : which frames of an image of several are looked at

    Raises
    ------
    PixelError
        A file is not a readable DICOM file.
    StudyChoiceError
        There is no image, or there are several studies.
    """
    studies: dict[str, list[tuple[Path, ImageHeader]]] = {}
    for path in _files(paths):
        header = _header_of(path)
        if header.is_image and study_instance_uid in {None, header.study_instance_uid}:
            studies.setdefault(header.study_instance_uid, []).append((path, header))
    if not studies:
        raise StudyChoiceError(
            "there is no image to analyse: name DICOM files, pictures or a folder of them"
        )
    if len(studies) > 1:
        counted = ", ".join(f"{uid} ({len(images)} images)" for uid, images in studies.items())
        raise StudyChoiceError(f"several studies, choose one by --study: {counted}")
    ((uid, images),) = studies.items()
    return StudyRequest(
        study_instance_uid=uid,
        images=tuple(
            image for path, header in images for image in _images_of(path, header, tomosynthesis)
        ),
        left_out=tuple(
            refusal_of(header.sop_instance_uid, header.laterality, header.view_position)
            for _, header in images
            if not frames_to_look_at(header.number_of_frames, tomosynthesis)
        ),
        tomosynthesis=tomosynthesis,
    )


def expanded(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Replace patterns that the shell has left alone by the files that they match.

    Raises
    ------
    StudyChoiceError
        A path does not exist, and as a pattern matches nothing.
    """
    found: list[Path] = []
    for path in paths:
        matches = [path] if path.exists() else _matches(str(path))
        if not matches:
            raise StudyChoiceError(f"{path}: there is no such file, folder or match")
        found.extend(matches)
    return tuple(found)


def _matches(pattern: str) -> list[Path]:
    return sorted(map(Path, glob(pattern, recursive=True)))  # noqa: PTH207  may be absolute


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(item for item in path.rglob("*") if item.is_file())
            yield from (item for item in found if is_dicom_file(item) or raster_format(item))
        else:
            yield path


def _header_of(path: Path) -> ImageHeader:
    if raster_format(path) is None:
        return read_header(path)
    return ImageHeader(
        sop_instance_uid=str(path),
        study_instance_uid=NO_STUDY,
        laterality="",
        view_position="",
        presentation_intent="",
        is_image=True,
    )


def _images_of(path: Path, header: ImageHeader, how: Tomosynthesis) -> Iterator[ImageToAnalyse]:
    for_processing = header.presentation_intent == "FOR PROCESSING"
    for frame in frames_to_look_at(header.number_of_frames, how):
        yield ImageToAnalyse(
            sop_instance_uid=header.sop_instance_uid,
            path=path,
            laterality=header.laterality,
            view_position=header.view_position,
            remark=FOR_PROCESSING_REMARK if for_processing else "",
            frame=frame,
        )
