"""Every kind of object of every kind of study, as files, for readers that are not ours."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from former_factory import EVERY_KIND, former_of
from objects_factory import (
    NEGATIVE,
    finding,
    heatmap_of,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    standard_views,
)
from pydicom.dataset import Dataset
from pydicom.uid import BreastTomosynthesisImageStorage

from dicom_node.facts.result_kinds import COMPREHENSIVE_SR
from dicom_node.objects.cad_sr.options import CadOptions
from dicom_node.objects.cad_sr.snomed_rt import CodingScheme
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.products import Profile
from dicom_node.objects.results import ResultObject
from dicom_node.objects.sc.pixel_encoding import Compression, PictureForm
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.codes import coded
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import (
    BreastFindings,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    ScoreOf,
)
from mammoclip_core.lesion_location import Depth, Height, Location, Side

COMPRESSED = (
    Profile(
        objects=EVERY_KIND.objects,
        report_sop_class_uid=COMPREHENSIVE_SR,
        cad=CadOptions(coding=CodingScheme.SRT),
        form=PictureForm(style=PictureStyle.GREY, compression=Compression.RLE),
    ),
    Profile(objects=EVERY_KIND.objects, form=PictureForm(compression=Compression.JPEG)),
)
_MARK = finding(marker_mask(60, 150))
QUADRANT = Location(depth=Depth.MIDDLE, height=Height.UPPER, side=Side.OUTER)
_BREAST = BreastFindings(laterality="L", findings=(finding(), NEGATIVE), density="C")


def tomosynthesis(
    laterality: str = "L", view: str = "MLO", frames: int = 5, **attributes: Any
) -> Dataset:
    """Return the header of a tomosynthesis stack whose frames lie one behind the other."""
    dataset = mammogram(
        view,
        laterality,
        SOPClassUID=BreastTomosynthesisImageStorage,
        NumberOfFrames=frames,
        FrameOfReferenceUID=uid_of("test", "frame of reference", laterality, view),
        **attributes,
    )
    del dataset.ImagerPixelSpacing
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    measures.PixelSpacing, measures.SliceThickness = [0.1, 0.1], 1.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for number in range(frames):
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [float(number), 0.0, 0.0]
        group.PlanePositionSequence = [position]
        dataset.PerFrameFunctionalGroupsSequence.append(group)
    return dataset


def box_of(left: float, top: float, right: float, bottom: float, score: float) -> Region:
    """Return a detector's box with its score."""
    return Region(
        outline=((left, top), (right, top), (right, bottom), (left, bottom)),
        box=(left, top, right, bottom),
        area_pixels=round((right - left) * (bottom - top)),
        peak=((left + right) / 2, (top + bottom) / 2),
        activation=score,
        score_of=ScoreOf.REGION,
        score=score,
        above_threshold=score >= 0.5,
    )


def boxed(*boxes: Region) -> Finding:
    """Return a finding of a detector, whose outlines are its boxes."""
    return Finding(
        name="mass",
        code="SCT|4147007|Mass",
        score=max(box.score for box in boxes),
        calibrated=False,
        above_threshold=True,
        threshold=0.5,
        source=FindingSource.DETECTOR,
        method=LocalisationMethod.BOX,
        regions=boxes,
    )


def _one(*findings: Finding, **attributes: Any) -> tuple[ResultObject, ...]:
    dataset = mammogram(**attributes)
    return results_of(
        (dataset, image_of(dataset, *(findings or (_MARK,)))),
        heatmaps=(heatmap_of(dataset, 70.0, 170.0),),
        breasts=(_BREAST,),
        profiles=(EVERY_KIND,),
    )


def _table_of_bytes() -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 8]
    item.LUTData = bytes(number // 16 for number in range(4096))
    item["LUTData"].VR = "OW"
    return item


def _view_code(*modifiers: str) -> Dataset:
    """Return a craniocaudal view with modifiers, as mammograms state it."""
    view = coded(codes.VIEWS["CC"])
    view.ViewModifierCodeSequence = [coded(codes.VIEW_MODIFIERS[words]) for words in modifiers]
    return view


def _many() -> tuple[ResultObject, ...]:
    return _one(
        finding(marker_mask(20, 120), marker_mask(90, 200)),
        finding(
            marker_mask(40, 230),
            name="suspicious_calcification",
            code="SCT|129769006|Calcification Cluster",
            score=0.4,
        ),
        finding(name="malignancy", code="SCT|1|Malignant", score=0.7, calibrated=True),
    )


def _four_views(*, failed: bool = False) -> tuple[ResultObject, ...]:
    pairs = []
    for side, view in standard_views():
        dataset = mammogram(view, side)
        image = image_of(dataset, finding(marker_mask(130, 150)))
        if failed and (side, view) == ("L", "MLO"):
            image = image_of(dataset, status=ImageStatus.FAILED, reason="no pixels – cut off")
        pairs.append((dataset, image))
    return results_of(*pairs, profiles=(EVERY_KIND,))


def linked(
    image: ImageFindings, lesion: int, location: Location | None = QUADRANT
) -> ImageFindings:
    """Return an image whose first region shows a lesion."""
    first, *others = image.findings
    region = replace(first.regions[0], lesion=lesion, location=location)
    marked = replace(first, regions=(region, *first.regions[1:]))
    return replace(image, findings=(marked, *others))


def _one_lesion_in_two_views() -> tuple[ResultObject, ...]:
    pairs = [(dataset, image_of(dataset, _MARK)) for dataset in map(mammogram, ("CC", "MLO"))]
    alone = mammogram("CC", "R")
    half = Location(depth=Depth.ANTERIOR, side=Side.INNER)
    return results_of(
        *((dataset, linked(image, 2)) for dataset, image in pairs),
        (alone, linked(image_of(alone, _MARK), 1, half)),
        profiles=(EVERY_KIND,),
    )


def _tomosynthesis() -> tuple[ResultObject, ...]:
    dataset = tomosynthesis()
    calcification = finding(
        marker_mask(90, 190),
        name="suspicious_calcification",
        code="SCT|129769006|Calcification Cluster",
    )
    image = image_of(dataset, replace(_MARK, frame=3), replace(calcification, frame=5))
    heatmaps = (
        replace(heatmap_of(dataset, 70.0, 170.0), frame=3),
        replace(heatmap_of(dataset, 100.0, 200.0, "suspicious_calcification"), frame=5),
    )
    return results_of((dataset, replace(image, frame=3)), heatmaps=heatmaps, profiles=(EVERY_KIND,))


def _compressed() -> tuple[ResultObject, ...]:
    dataset = mammogram(
        LossyImageCompression="01",
        LossyImageCompressionRatio=11.5,
        LossyImageCompressionMethod="ISO_10918_1",
    )
    return results_of((dataset, image_of(dataset, _MARK)), profiles=COMPRESSED)


def _changed_answer() -> tuple[ResultObject, ...]:
    """Build the second revision of a study, which replaces and retracts the first."""
    dataset = mammogram()
    pairs = [(dataset, image_of(dataset, finding(marker_mask(left, 150)))) for left in (60, 90)]
    first = results_of(pairs[0], profiles=(EVERY_KIND,))
    return results_of(
        pairs[1], identity=identity(2), former=former_of(first), profiles=(EVERY_KIND,)
    )


BOXES = (
    box_of(60.0, 150.0, 100.0, 198.0, 0.92),
    box_of(20.0, 220.0, 70.0, 260.0, 0.22),
    box_of(110.0, 180.0, 150.0, 230.0, 0.06),
)
"""One above the threshold and two below it."""

STUDIES: dict[str, Callable[[], tuple[ResultObject, ...]]] = {
    "no finding": lambda: _one(NEGATIVE),
    "one finding": _one,
    "many findings": _many,
    "four views": _four_views,
    "one lesion in two views": _one_lesion_in_two_views,
    "failed image": lambda: _four_views(failed=True),
    "MONOCHROME1": lambda: _one(photometric="MONOCHROME1"),
    "flipped field of view": lambda: _one(
        laterality="L",
        PatientOrientation=["P", "FR"],
        FieldOfViewHorizontalFlip="YES",
        FieldOfViewRotation=180,
        FieldOfViewOrigin=[0.0, 0.0],
    ),
    "Japanese name": lambda: _one(
        name="Yamada^Hanako=山田^花子=やまだ^はなこ", charset=["", "ISO 2022 IR 87"]
    ),
    "Korean name": lambda: _one(
        name="Hong^Gildong=洪^吉洞=홍^길동", charset=["", "ISO 2022 IR 149"]
    ),
    "Chinese name": lambda: _one(name="Wang^XiaoDong=王^小东", charset="GB18030"),
    "Cyrillic name": lambda: _one(name="Иванова^Анна", charset="ISO_IR 144"),
    "tomosynthesis": _tomosynthesis,
    "view with two modifiers": lambda: _one(
        view="CC", ViewCodeSequence=[_view_code("implant displaced", "rolled lateral")]
    ),
    "VOI LUT of bytes": lambda: _one(VOILUTSequence=[_table_of_bytes()]),
    "detector box": lambda: _one(boxed(box_of(60.0, 150.0, 100.0, 198.0, 0.71))),
    "several detector boxes": lambda: _one(boxed(*BOXES)),
    "long private code": lambda: _one(
        finding(
            marker_mask(60, 150), name="shape.irregular", code=f"99MAMMOCLIP|{'irregular' * 5}|x"
        )
    ),
    "compressed pictures": _compressed,
    "changed answer": _changed_answer,
    "header without ViewCodeSequence": lambda: _one(without=("ViewCodeSequence",)),
    "header without Type 2 attributes": lambda: _one(
        without=(
            *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"),
            *("StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
            *("PatientOrientation", "ImagerPixelSpacing", "LossyImageCompression"),
            *("WindowCenter", "WindowWidth"),
        )
    ),
}
"""What the result objects are made of, from the most common to the oddest."""


@cache
def objects_of(study: str) -> tuple[ResultObject, ...]:
    """Build the objects of one of the studies, once."""
    return STUDIES[study]()
