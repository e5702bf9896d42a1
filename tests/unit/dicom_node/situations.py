"""The studies that a node meets, each with its images as files and with every kind of result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
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

from dicom_node.objects.products import Profile
from dicom_node.objects.results import ResultObject
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import BreastFindings, ImageFindings, ImageStatus
from mammoclip_core.lesion_location import Depth, Height, Location, Side

Pair = tuple[Dataset, ImageFindings]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A study: its images, to be stored in an archive, the answers, and what is made of them."""

    images: tuple[Dataset, ...]
    answers: tuple[ImageFindings, ...]
    made_for: Callable[[tuple[Profile, ...]], tuple[ResultObject, ...]]

    @cached_property
    def results(self) -> tuple[ResultObject, ...]:
        """Return an object of every kind."""
        return self.made_for((EVERY_KIND,))


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


def study_situation(pairs: Iterable[Pair], breasts: tuple[BreastFindings, ...] = ()) -> Situation:
    """Return the situation of a study, by the header and the answer of each image."""
    pairs = list(pairs)
    read = [dataset for dataset, image in pairs if image.status is ImageStatus.ANALYSED]
    heatmaps = [
        heatmap_of(dataset, 70.0, 170.0) for dataset in read if "NumberOfFrames" not in dataset
    ]
    return Situation(
        images=tuple(image_file(one) for one, _ in pairs),
        answers=tuple(answer for _, answer in pairs),
        made_for=lambda profiles: results_of(
            *pairs, heatmaps=tuple(heatmaps), breasts=breasts, profiles=profiles
        ),
    )


def marked(dataset: Dataset) -> Pair:
    """Return an image with a mass on it, by its header and its answer."""
    size = (int(dataset.Rows), int(dataset.Columns))
    return dataset, image_of(dataset, finding(marker_mask(60, 150, size)), NEGATIVE_CALCIFICATION)


LOWER_INNER = Location(depth=Depth.POSTERIOR, height=Height.LOWER, side=Side.INNER)
NEGATIVE_CALCIFICATION = replace(NEGATIVE, name="suspicious_calcification", code="")


def _views(views: Iterable[tuple[str, str]] = standard_views(), **attributes: Any) -> list[Dataset]:
    return [mammogram(view, side, **attributes) for side, view in views]


def with_modifier(value: str, meaning: str, side: str = "L", **attributes: Any) -> Dataset:
    """Return a craniocaudal view with a modifier."""
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator = value, "SCT"
    modifier.CodeMeaning = meaning
    uid = uid_of("test", "modified", meaning, side)
    dataset = mammogram("CC", side, SOPInstanceUID=uid, **attributes)
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
    return study_situation([(dataset, replace(image_of(dataset, found, box), frame=middle))])


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
    return study_situation(
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
        pairs += [marked(shown), (raw, left_out)]
    return study_situation(pairs)


def _named(name: str, charset: str | list[str]) -> Callable[[], Situation]:
    return lambda: study_situation(map(marked, _views(name=name, charset=charset)))


SITUATIONS: dict[str, Callable[[], Situation]] = {
    "four views": lambda: study_situation(map(marked, _views())),
    "one breast": lambda: study_situation(map(marked, _views((("L", "CC"), ("L", "MLO"))))),
    "missing view": lambda: study_situation(map(marked, _views(standard_views()[:3]))),
    "repeated view": lambda: study_situation(
        map(marked, [*_views(), mammogram("CC", "L", SOPInstanceUID=uid_of("test", "again"))])
    ),
    "implant displaced": lambda: study_situation(
        map(
            marked,
            [
                *_views(BreastImplantPresent="YES"),
                with_modifier("399209000", "Implant Displaced", BreastImplantPresent="YES"),
            ],
        )
    ),
    "unknown side": lambda: study_situation([marked(mammogram("CC", ""))]),
    "MONOCHROME1": lambda: study_situation(map(marked, _views(photometric="MONOCHROME1"))),
    "not square": lambda: study_situation(map(marked, _views(ImagerPixelSpacing=[0.2, 0.1]))),
    "magnified": lambda: study_situation(
        [
            *map(marked, _views()),
            marked(
                with_modifier(
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
    "one failed": lambda: study_situation([*map(marked, _views()[:3]), _failed(_views()[3])]),
    "all failed": lambda: study_situation(map(_failed, _views())),
}
"""Each study that the results have to be right for."""


def large_tomosynthesis() -> Situation:
    """Return a volume as large as they come."""
    return _volume((2457, 1890), 60)
