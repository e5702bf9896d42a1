"""From files on disk to a study request: which images belong to which study."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from filecmp import cmp
from glob import glob
from pathlib import Path

from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
from mammoclip_core.counting import counted
from mammoclip_core.errors import CoreError, PixelError
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from mammoclip_core.images.folder import NO_STUDY, ImageFile, PassedOver, images_in
from mammoclip_core.images.header.image_kind import is_mammogram
from mammoclip_core.images.selection import Generated2D, select_images
from mammoclip_core.images.tomosynthesis import Tomosynthesis, frames_to_look_at, refusal_of


class StudyChoiceError(CoreError):
    """The files hold no image, or images of several studies where one is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudiesFound:
    """What files and folders hold: studies to analyse, and files that are not used."""

    requests: tuple[StudyRequest, ...]
    passed_over: tuple[PassedOver, ...]


def request_from(
    paths: Iterable[Path],
    study_instance_uid: str | None = None,
    tomosynthesis: Tomosynthesis = Tomosynthesis.REFUSE,
) -> StudyRequest:
    """Gather the images of one study from files and folders, as `requests_from` does.

    Raises
    ------
    PixelError
        A file is not a readable DICOM file.
    StudyChoiceError
        There is no image, or there are several studies.
    """
    requests = requests_from(paths, study_instance_uid, tomosynthesis).requests
    if len(requests) > 1:
        counted = ", ".join(
            f"{request.study_instance_uid} "
            f"({counted(len(request.images) + len(request.left_out), 'image')})"
            for request in requests
        )
        raise StudyChoiceError(f"several studies, choose one by its UID: {counted}")
    return requests[0]


def requests_from(
    paths: Iterable[Path],
    study_instance_uid: str | None = None,
    tomosynthesis: Tomosynthesis = Tomosynthesis.REFUSE,
    generated_2d: Generated2D = Generated2D.IF_ALONE,
) -> StudiesFound:
    """Gather the images of each study in files and folders, studies in the order of their files.

    Of a folder the mammograms are taken, by their SOP Class, and what cannot be read is passed
    over with its reason; a file that is named is taken whatever its class and must be an
    image. Result objects of this software never are. Which images are analysed is decided as by
    the node: what shows no whole breast is left out with its reason, and so is a For Processing
    image beside one For Presentation. Of two files of one image the first is taken, or the one
    that can be read; the other is passed over. Pictures (PNG, JPEG, TIFF) are named by their path
    and make up one study, whose UID is `NO_STUDY`.

    Parameters
    ----------
    study_instance_uid : UID or None
        The only study that is wanted; None for all.
    tomosynthesis : which frames of an image of several are looked at
    generated_2d : which one is analysed of a generated and a full-field image of a view

    Raises
    ------
    PixelError
        A file that is named itself is not a readable DICOM file.
    StudyChoiceError
        There is no image.
    """
    found, passed_over = images_in(paths)
    asked = [
        file
        for file in found
        if file.header.is_image and study_instance_uid in {None, file.header.study_instance_uid}
    ]
    wanted = [file for file in asked if is_wanted(file)]
    if not wanted:
        others = len(asked)
        raise StudyChoiceError(_nothing_found(study_instance_uid, others, passed_over))
    grouped = requests_of(wanted, tomosynthesis, generated_2d)
    return StudiesFound(requests=grouped.requests, passed_over=(*passed_over, *grouped.passed_over))


def is_wanted(file: ImageFile) -> bool:
    """Tell whether an image is analysed by its class, or because it is named or a picture."""
    return file.header.is_image and (
        file.is_named or file.header.study_instance_uid == NO_STUDY or is_mammogram(file.header)
    )


def requests_of(
    files: Iterable[ImageFile],
    tomosynthesis: Tomosynthesis = Tomosynthesis.REFUSE,
    generated_2d: Generated2D = Generated2D.IF_ALONE,
) -> StudiesFound:
    """Group images that are wanted by their study, as `requests_from` does."""
    studies: dict[str, dict[str, ImageFile]] = {}
    passed_over: list[PassedOver] = []
    for file in files:
        images = studies.setdefault(file.header.study_instance_uid, {})
        kept = images.setdefault(file.header.sop_instance_uid, file)
        if kept.path.absolute() != file.path.absolute():
            images[file.header.sop_instance_uid], other = _better_first(kept, file)
            passed_over.append(other)
    return StudiesFound(
        requests=tuple(
            _request(uid, images, tomosynthesis, generated_2d) for uid, images in studies.items()
        ),
        passed_over=tuple(passed_over),
    )


def _better_first(kept: ImageFile, new: ImageFile) -> tuple[ImageFile, PassedOver]:
    """Choose of two files of one instance: the first, unless only the other can be read."""
    is_equal = cmp(kept.path, new.path, shallow=False)
    if is_equal or _can_be_read(kept) or not _can_be_read(new):
        reason = f"another file of the image in {kept.path.name}"
        return kept, PassedOver(path=new.path, reason=reason)
    reason = f"another file of the image in {new.path.name}, which can be read"
    return new, PassedOver(path=kept.path, reason=reason)


def _can_be_read(file: ImageFile) -> bool:
    with DecodingPool(doubts=0) as pool:
        try:
            pool.read_image(file.path)
        except PixelError:
            return False
    return True


def _request(
    uid: str, files: dict[str, ImageFile], how: Tomosynthesis, generated_2d: Generated2D
) -> StudyRequest:
    """Choose as the node does, which does not take a volume unless its settings say how."""
    headers = [file.header for file in files.values()]
    refused = [
        one
        for one in headers
        if one.is_tomosynthesis and not one.left_out_reason and how is Tomosynthesis.REFUSE
    ]
    selection = select_images([one for one in headers if one not in refused], generated_2d)
    images: list[ImageToAnalyse] = []
    for facts, remark in selection.chosen:
        file = files[facts.sop_instance_uid]
        frames = frames_to_look_at(file.header.number_of_frames, how)
        images.extend(_image_of(file, remark, frame) for frame in frames)
        if not frames:
            refused.append(file.header)
    refusals = (
        refusal_of(one.sop_instance_uid, one.laterality, one.view_position) for one in refused
    )
    return StudyRequest(
        study_instance_uid=uid,
        images=tuple(images),
        left_out=(*refusals, *selection.left_out),
        tomosynthesis=how,
    )


def _image_of(file: ImageFile, remark: str, frame: int) -> ImageToAnalyse:
    return ImageToAnalyse(
        sop_instance_uid=file.header.sop_instance_uid,
        path=file.path,
        laterality=file.header.laterality,
        view_position=file.header.view_position,
        remark=remark,
        frame=frame,
    )


def _nothing_found(
    study_instance_uid: str | None, other_classes: int, passed_over: Sequence[PassedOver]
) -> str:
    if other_classes:
        return (
            f"there is no mammogram to analyse, but {counted(other_classes, 'image')} of other SOP "
            "Classes: name such a file itself, not its folder, to have it analysed all the same"
        )
    if study_instance_uid is not None:
        return f"there is no image of study {study_instance_uid} to analyse"
    if passed_over:
        one = passed_over[0]
        more = f" ({len(passed_over)} files in all)" if len(passed_over) > 1 else ""
        return f"there is no image to analyse; {one.path.name} is {one.reason}{more}"
    return "there is no image to analyse: name DICOM files, pictures or a folder of them"


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
