"""CAD reports of a few images, read back from the file that they become."""

from objects_factory import (
    NEGATIVE,
    cad_report_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    standard_views,
)
from pydicom.dataset import Dataset
from sr_reading import concept, read_back, walk

from dicom_node.objects.cad_sr.options import CadOptions
from mammoclip_core.findings import ImageStatus

CALCIFICATION = "SCT|309587003|Calcification of breast"


def four_views(
    *, found: bool = False, failed: tuple[str, str] | None = None, **arguments: object
) -> Dataset:
    """Build the report of the examination that the verified trees are of."""
    pairs = []
    for side, view in standard_views():
        dataset = mammogram(view, side, ContentDate="20260102", ContentTime="101501")
        if (side, view) == failed:
            image = image_of(dataset, status=ImageStatus.FAILED, reason="no pixels")
        elif found and (side, view) == ("R", "CC"):
            image = image_of(dataset, finding(marker_mask(200, 150)), _calcification(found=False))
        elif found and (side, view) == ("R", "MLO"):
            image = image_of(dataset, NEGATIVE, _calcification(found=True))
        else:
            image = image_of(dataset, NEGATIVE, _calcification(found=False))
        pairs.append((dataset, image))
    return read_back(cad_report_of(*pairs, **arguments))


def _calcification(*, found: bool):
    masks = (marker_mask(220, 120),) if found else ()
    return finding(
        *masks,
        name="suspicious_calcification",
        code=CALCIFICATION,
        score=0.6 if found else 0.1,
        above_threshold=found,
    )


def one_image(*findings: object, options: CadOptions | None = None, **attributes: object):
    dataset = mammogram(**attributes)
    chosen = {} if options is None else {"options": options}
    return read_back(cad_report_of((dataset, image_of(dataset, *findings)), **chosen))


def marks(report: Dataset) -> list[Dataset]:
    return [item for _, item in walk(report) if concept(item) == "111059"]
