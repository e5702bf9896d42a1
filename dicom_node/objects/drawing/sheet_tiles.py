"""Which images stand on a page of four views, and how large."""

from dicom_node.objects.drawing.rendering import DisplayPicture, ShownImage
from mammoclip_core.findings import ImageFindings, StudyFindings
from mammoclip_core.images.views import STANDARD_VIEWS


def shown_images(findings: StudyFindings) -> tuple[ImageFindings, ...]:
    """Return the image of each standard view that the sheet shows."""
    shown = []
    for view in STANDARD_VIEWS:
        taken = [
            image for image in findings.analysed if (image.laterality, image.view_position) == view
        ]
        if taken:
            shown.append(max(taken, key=_highest_score))
    return tuple(shown)


def tile_of(shown: ShownImage, long_side: int) -> DisplayPicture:
    """Scale an image down to its place on a sheet of `long_side` pixels."""
    rows, columns = shown.size
    cell_rows, cell_columns = cell_of(long_side)
    scale = min(cell_rows / rows, cell_columns / columns, 1.0)
    return shown.reduced(max(1, int(scale * max(rows, columns))))


def cell_of(long_side: int) -> tuple[int, int]:
    """Return the rows and columns that an image on the sheet fits into."""
    return long_side // 2, round(0.4 * long_side)


def _highest_score(image: ImageFindings) -> float:
    return max((finding.score for finding in image.findings), default=0.0)
