"""The studies that a node meets, each with its images as files and with every kind of result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pydicom
from every_kind import EVERY_KIND, box_of, boxed, tomosynthesis
from objects_factory import (
    NEGATIVE,
    breast_pixels,
    finding,
    heatmap_of,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    standard_views,
)
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    RLELossless,
)

from dicom_node.objects.results import ResultObject
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import BreastFindings, ImageFindings, ImageStatus
from mammoclip_core.lesion_location import Depth, Height, Location, Side

Pair = tuple[Dataset, ImageFindings]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A study: its images, to be stored in an archive, the answers, and what was made of them."""

    images: tuple[Dataset, ...]
    results: tuple[ResultObject, ...]
    answers: tuple[ImageFindings, ...]


def image_file(header: Dataset) -> Dataset:
    """Return an image with pixels, which an archive takes; those of a volume compressed."""
    image = Dataset()
    image.update(header)
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    values = breast_pixels(header).astype("<u2")
    if "NumberOfFrames" not in header:
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.PixelData = values.tobytes()
        return image
    single = Dataset()
    single.update(header)
    for keyword in ("NumberOfFrames", "PerFrameFunctionalGroupsSequence"):
        del single[keyword]
    single.file_meta = image.file_meta
    single.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    single.compress(RLELossless, np.ascontiguousarray(values), generate_instance_uid=False)
    (frame,) = pydicom.encaps.generate_frames(single.PixelData, number_of_frames=1)
    image.PixelData = encapsulate([frame] * int(header.NumberOfFrames))
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = RLELossless
    return image


def _study(pairs: Iterable[Pair], breasts: tuple[BreastFindings, ...] = ()) -> Situation:
    pairs = list(pairs)
    read = [dataset for dataset, image in pairs if image.status is ImageStatus.ANALYSED]
    results = results_of(
        *pairs,
        heatmaps=tuple(
            heatmap_of(dataset, 70.0, 170.0) for dataset in read if "NumberOfFrames" not in dataset
        ),
        breasts=breasts,
        profiles=(EVERY_KIND,),
    )
    return Situation(
        images=tuple(image_file(one) for one, _ in pairs),
        results=results,
        answers=tuple(answer for _, answer in pairs),
    )


def _marked(dataset: Dataset) -> Pair:
    size = (int(dataset.Rows), int(dataset.Columns))
    return dataset, image_of(dataset, finding(marker_mask(60, 150, size)), NEGATIVE_CALCIFICATION)


LOWER_INNER = Location(depth=Depth.POSTERIOR, height=Height.LOWER, side=Side.INNER)
NEGATIVE_CALCIFICATION = replace(NEGATIVE, name="suspicious_calcification", code="")


def _views(views: Iterable[tuple[str, str]] = standard_views(), **attributes: Any) -> list[Dataset]:
    return [mammogram(view, side, **attributes) for side, view in views]


def _with_modifier(value: str, meaning: str, **attributes: Any) -> Dataset:
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator = value, "SCT"
    modifier.CodeMeaning = meaning
    dataset = mammogram("CC", "L", SOPInstanceUID=uid_of("test", "modified", meaning), **attributes)
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [modifier]
    return dataset


def _failed(dataset: Dataset) -> Pair:
    return dataset, image_of(dataset, status=ImageStatus.FAILED, reason="the pixels are cut off")


def _volume(size: tuple[int, int], frames: int) -> Situation:
    dataset = tomosynthesis(size=size, frames=frames)
    middle = frames // 2 + 1
    found = replace(finding(marker_mask(60, 120, size)), frame=middle)
    box = replace(
        boxed(box_of(20.0, 30.0, 60.0, 70.0, 0.8)), frame=frames, name="calcification", code=""
    )
    return _study([(dataset, replace(image_of(dataset, found, box), frame=middle))])


def _boxes_beside_attention() -> Situation:
    """Return four views with boxes on both sides of the threshold, and a mass on two of them."""
    pairs = []
    for place, (side, view) in enumerate(standard_views()):
        dataset = mammogram(view, side)
        boxes = [
            box_of(20.0, 60.0 + 20.0 * number, 60.0, 100.0 + 20.0 * number, score)
            for number, score in enumerate((0.92, 0.62, 0.22, 0.06))
        ]
        if side == "L":
            boxes[0] = replace(boxes[0], lesion=7, location=LOWER_INNER)
        found = (
            boxed(*boxes),
            replace(boxed(boxes[place % 2 + 1]), name="suspicious_calcification", code="")
            if place % 2 == 0
            else NEGATIVE_CALCIFICATION,
            finding(marker_mask(150, 250), name="asymmetry", code="", score=0.5 + place / 10),
            replace(finding(name="malignancy", code="", score=0.7 + place / 10), calibrated=True),
        )
        pairs.append((dataset, image_of(dataset, *found)))
    over = [replace(one, regions=(), threshold=0.5) for one in found]
    return _study(
        pairs,
        tuple(
            BreastFindings(laterality=side, findings=(replace(over[-1], score=score),), density=d)
            for side, score, d in (("R", 0.9, "B"), ("L", 1.0, "C"))
        ),
    )


def _for_processing_beside() -> Situation:
    pairs = []
    for side, view in standard_views():
        raw = mammogram(
            view,
            side,
            SOPClassUID=DigitalMammographyXRayImageStorageForProcessing,
            SOPInstanceUID=uid_of("test", "raw", side, view),
            PresentationIntentType="FOR PROCESSING",
        )
        shown, reference = mammogram(view, side), Dataset()
        reference.ReferencedSOPClassUID = raw.SOPClassUID
        reference.ReferencedSOPInstanceUID = raw.SOPInstanceUID
        shown.SourceImageSequence = [reference]
        left_out = image_of(raw, status=ImageStatus.LEFT_OUT, reason="the same for presentation")
        pairs += [_marked(shown), (raw, left_out)]
    return _study(pairs)


def _named(name: str, charset: str | list[str]) -> Callable[[], Situation]:
    return lambda: _study(map(_marked, _views(name=name, charset=charset)))


SITUATIONS: dict[str, Callable[[], Situation]] = {
    "four views": lambda: _study(map(_marked, _views())),
    "one breast": lambda: _study(map(_marked, _views((("L", "CC"), ("L", "MLO"))))),
    "missing view": lambda: _study(map(_marked, _views(standard_views()[:3]))),
    "repeated view": lambda: _study(
        map(_marked, [*_views(), mammogram("CC", "L", SOPInstanceUID=uid_of("test", "again"))])
    ),
    "implant displaced": lambda: _study(
        map(
            _marked,
            [
                *_views(BreastImplantPresent="YES"),
                _with_modifier("399209000", "Implant Displaced", BreastImplantPresent="YES"),
            ],
        )
    ),
    "unknown side": lambda: _study([_marked(mammogram("CC", ""))]),
    "MONOCHROME1": lambda: _study(map(_marked, _views(photometric="MONOCHROME1"))),
    "not square": lambda: _study(map(_marked, _views(ImagerPixelSpacing=[0.2, 0.1]))),
    "magnified": lambda: _study(
        [
            *map(_marked, _views()),
            _marked(
                _with_modifier(
                    "399163009", "Magnification", EstimatedRadiographicMagnificationFactor=1.8
                )
            ),
        ]
    ),
    "tomosynthesis": lambda: _volume((246, 189), 6),
    "Latin-1": _named("Müller^Åsa", "ISO_IR 100"),
    "Japanese": _named("Yamada^Hanako=山田^花子=やまだ^はなこ", ["", "ISO 2022 IR 87"]),
    "Korean": _named("Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"]),
    "Chinese": _named("Wang^XiaoDong=王^小东", "GB18030"),
    "Cyrillic": _named("Иванова^Анна", "ISO_IR 144"),
    "for processing beside for presentation": _for_processing_beside,
    "boxes beside attention": _boxes_beside_attention,
    "one failed": lambda: _study([*map(_marked, _views()[:3]), _failed(_views()[3])]),
    "all failed": lambda: _study(map(_failed, _views())),
}
"""Each study that the results have to be right for."""


def large_tomosynthesis() -> Situation:
    """Return a volume as large as they come."""
    return _volume((2457, 1890), 60)
