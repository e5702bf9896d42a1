"""Finds the images in files and folders, and names the files that look like one and are none."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.data_set import is_dicom_file
from mammoclip_core.images.decoding.dicom_file import ImageHeader, read_header
from mammoclip_core.images.folder_walk import is_link, walk_folder
from mammoclip_core.images.header.image_kind import is_mammogram
from mammoclip_core.images.picture_file import raster_format

NO_STUDY: Final = "files"
"""Stands for the Study Instance UID of pictures, which have none."""

NO_PREAMBLE: Final = (
    "a DICOM data set without preamble and file meta information, so that its transfer syntax is "
    "not known: write it as a DICOM file (PS3.10)"
)
_MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_DICOM_NAMES: Final = frozenset({".dcm", ".dicom", ".ima"})
_PICTURE_NAMES: Final = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
_FIRST_GROUPS: Final = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""First bytes of a data set without preamble: group 0002 or 0008 (PS3.5 7.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """A file that holds an image.

    Attributes
    ----------
    is_named : whether it was given itself, rather than found in a folder
    """

    path: Path
    header: ImageHeader
    is_named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """What somebody may have taken for an image in a folder, or a folder within; why it is not."""

    path: Path
    reason: str


def images_in(paths: Iterable[Path]) -> tuple[list[ImageFile], list[PassedOver]]:
    """Find the images among files and in folders, in order.

    In a folder one bad file stops nothing. What is neither DICOM nor a picture is not mentioned,
    nor are DICOM objects that are no images. Pictures beside DICOM images are previews of them.

    Raises
    ------
    PixelError
        A file that was given itself is no readable image.
    """
    images: list[ImageFile] = []
    passed_over: list[PassedOver] = []
    for path in paths:
        if not path.is_dir():
            images.append(ImageFile(path=path, header=header_of(path), is_named=True))
            continue
        found: list[ImageFile] = []
        files, closed = files_below(path)
        passed_over.extend(closed)
        for file in files:
            match looked_at(file):
                case ImageFile() as image:
                    found.append(image)
                case PassedOver() as passed:
                    passed_over.append(passed)
        if any(one.header.study_instance_uid != NO_STUDY for one in found):
            passed_over.extend(
                PassedOver(path=one.path, reason="a picture beside DICOM images")
                for one in found
                if one.header.study_instance_uid == NO_STUDY
            )
            found = [one for one in found if one.header.study_instance_uid != NO_STUDY]
        images.extend(found)
    return images, passed_over


def files_below(folder: Path) -> tuple[list[Path], list[PassedOver]]:
    """Return all files below a folder, in order, and the folders that nobody may look into."""
    closed: list[OSError] = []
    files = sorted(
        path
        for place, names in walk_folder(folder, on_error=closed.append)
        for path in (place / name for name in names)
        if may_be_file(path) or leads_nowhere(path)
    )
    return files, [
        PassedOver(path=Path(error.filename), reason=_why(error))
        for error in sorted(closed, key=lambda error: str(error.filename))
    ]


def may_be_file(path: Path) -> bool:
    """Tell whether a path is a file, or cannot be looked at, which whoever opens it then says.

    A folder may show the names of its files and no more.
    """
    try:
        return path.is_file()
    except OSError:
        return True


def leads_nowhere(path: Path) -> bool:
    """Tell whether a path is a link to what is not there, by a name that an image may have."""
    may_be_image = path.suffix.lower() in {"", *_DICOM_NAMES, *_PICTURE_NAMES}
    is_hidden = path.name.startswith(".")
    if is_hidden or not may_be_image or not is_link(path):
        return False
    try:
        return not path.exists()
    except OSError:
        return False  # it lies where nobody may look, which whoever opens it says


def looked_at(file: Path) -> ImageFile | PassedOver | None:
    """Tell what a file of a folder is; None where nobody would take it for an image."""
    if leads_nowhere(file):
        return PassedOver(path=file, reason="a link to a file that is not there")
    try:
        reason = next(_why_unreadable(file), "")
        if not reason and (is_dicom_file(file) or raster_format(file)):
            header = header_of(file)
            reason = _why_no_image(header)
            if header.is_image and not reason:
                return ImageFile(path=file, header=header, is_named=False)
    except OSError as error:
        reason = _why(error)
    except PixelError as error:
        reason = str(error).removeprefix(f"{file.name} is ")
    return PassedOver(path=file, reason=reason) if reason else None


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _why_no_image(header: ImageHeader) -> str:
    """Say why an object that its class or its place makes look like an image is none."""
    if header.sop_class_uid == _MEDIA_DIRECTORY:
        return "a DICOMDIR, which lists other files"
    if not header.sop_class_uid and header.study_instance_uid != NO_STUDY:
        return "a DICOM file without SOP Class UID: it may be cut off"
    if is_mammogram(header) and not header.is_image:
        return "a mammogram without size or pixels: it may be cut off"
    return ""


def _why_unreadable(file: Path) -> Iterator[str]:
    """Say why a file that looks like an image by its name or first bytes is none."""
    if is_dicom_file(file) or raster_format(file):
        return
    if file.stat().st_size == 0:
        if file.suffix.lower() in _DICOM_NAMES | _PICTURE_NAMES:
            yield "an empty file"
    elif lacks_preamble(file):
        yield NO_PREAMBLE
    elif file.suffix.lower() in _DICOM_NAMES:
        yield "not a DICOM file, though named as one"
    elif file.suffix.lower() in _PICTURE_NAMES:
        yield "not a picture, though named as one"


def lacks_preamble(file: Path) -> bool:
    """Tell whether a file begins with a data element instead of a preamble and ``DICM``.

    Older programs wrote data sets as they went over the network.
    """
    with file.open("rb") as stream:
        start = stream.read(8)
    if len(start) < 8 or start[:2] not in _FIRST_GROUPS or start[2:4] == b"\0\0\0\0":
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    element = int.from_bytes(start[2:4], "big" if start[:2] == b"\x00\x08" else "little")
    implicit_length = int.from_bytes(start[4:8], "little")
    return element <= 0x0080 and (explicit or implicit_length <= 256)


def header_of(path: Path) -> ImageHeader:
    """Read what a file says of its image; of a picture no more than that it is one.

    Raises
    ------
    PixelError
        The file is no readable image.
    OSError
        It cannot be read at all.
    """
    if raster_format(path) is None:
        if not is_dicom_file(path) and lacks_preamble(path):
            raise PixelError(f"{path.name} is {NO_PREAMBLE}")
        return read_header(path)
    return ImageHeader(
        sop_instance_uid=str(path), sop_class_uid="", study_instance_uid=NO_STUDY, is_image=True
    )
