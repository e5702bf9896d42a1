"""Studies that are less common, each with its images as files and with every kind of result."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from every_kind import box_of, boxed, tomosynthesis
from objects_factory import (
    NEGATIVE,
    breast_pixels,
    finding,
    image_of,
    mammogram,
    marker_mask,
    standard_views,
)
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
)
from situations import SITUATIONS, Pair, Situation, marked, study_situation, with_modifier

from dicom_node.objects.uids import uid_of
from mammoclip_core.analysis.aggregation import breasts_of
from mammoclip_core.findings import BreastFindings, Finding, ImageStatus

HUGE_NAME = "=".join(
    (
        "Wolfeschlegelsteinhausenbergerdorff^Alexandria-Wilhelmina^Q^Dr^M",
        f"{'山田' * 20}^{'花子' * 11}花",
        f"{'やまだ' * 12}^{'はなこ' * 9}",
    )
)
"""Three component groups of 64 letters, the most there may be."""


def _again(view: str, side: str, name: str, **attributes: Any) -> Dataset:
    return mammogram(view, side, SOPInstanceUID=uid_of("test", "again", name), **attributes)


def _scored(pairs: Iterable[Pair]) -> Situation:
    """Return a situation with the scores of breasts and examination that an engine gives."""
    pairs = list(pairs)
    return study_situation(pairs, breasts_of(image for _, image in pairs))


def _all(datasets: Iterable[Dataset]) -> Situation:
    return _scored(map(marked, datasets))


def _without_side() -> Situation:
    datasets = [mammogram("CC", ""), mammogram("MLO", ""), mammogram("", "")]
    return _all(datasets)


def _spot() -> Situation:
    spot = with_modifier(
        "399055006", "spot compression", EstimatedRadiographicMagnificationFactor=1.8
    )
    (view,) = spot.ViewCodeSequence
    magnified = Dataset()
    magnified.CodeValue, magnified.CodingSchemeDesignator = "399163009", "SCT"
    magnified.CodeMeaning = "magnification"
    view.ViewModifierCodeSequence.append(magnified)
    return _all([mammogram("CC", "L"), spot, mammogram("MLO", "L")])


def _implants() -> Situation:
    plain = [mammogram("CC", side, BreastImplantPresent="YES") for side in "RL"]
    displaced = [
        with_modifier("399209000", "Implant Displaced", side=side, BreastImplantPresent="YES")
        for side in "RL"
    ]
    return _all([*plain, *displaced])


def _for_processing_only() -> Situation:
    return _all(
        mammogram(
            view,
            side,
            SOPClassUID=DigitalMammographyXRayImageStorageForProcessing,
            PresentationIntentType="FOR PROCESSING",
            without=("WindowCenter", "WindowWidth"),
        )
        for side, view in standard_views()
    )


def _volume_with_generated_2d() -> Situation:
    volume = tomosynthesis("L", "CC", frames=5)
    flat = _again(
        "CC", "L", "generated", ImageType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]
    )
    found = replace(finding(marker_mask(60, 150)), frame=3)
    slice_ = (volume, replace(image_of(volume, found), frame=3))
    return _scored([slice_, marked(flat)])


def _left_out_volume() -> Situation:
    volume = tomosynthesis("L", "CC", frames=5)
    reason = "tomosynthesis: this node is set to leave volumes out"
    left_out = image_of(volume, status=ImageStatus.LEFT_OUT, reason=reason)
    return _scored([(volume, left_out), marked(_again("CC", "L", "flat"))])


def _many_findings() -> Situation:
    dataset = mammogram("MLO", "L")
    found = [
        finding(
            marker_mask(8 + 30 * (number % 8), 40 + 60 * (number // 8), unit=3),
            name=f"finding_number_{number}_with_a_name",
            code="",
            score=0.99 - number / 100,
        )
        for number in range(40)
    ]
    return _scored([(dataset, image_of(dataset, *found))])


def _two_sizes() -> Situation:
    large = [mammogram("CC", side, size=(800, 640)) for side in "RL"]
    small = [mammogram("MLO", side, size=(300, 240)) for side in "RL"]
    return _all([*large, *small])


def _contrast() -> Situation:
    low = [
        _again("CC", side, f"low {side}", ImageType=["DERIVED", "PRIMARY", "", "LOW_ENERGY"])
        for side in "RL"
    ]
    recombined = [
        _again("CC", side, f"rec {side}", ImageType=["DERIVED", "PRIMARY", "", "RECOMBINED"])
        for side in "RL"
    ]
    reason = "a recombined image of contrast-enhanced mammography"
    return _scored(
        [
            *map(marked, low),
            *(
                (one, image_of(one, status=ImageStatus.LEFT_OUT, reason=reason))
                for one in recombined
            ),
        ]
    )


def _table(dataset: Dataset) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 12]
    item.LUTData = list(range(4096))
    item["LUTData"].VR = "US"
    item.LUTExplanation = "NORMAL"
    dataset.VOILUTSequence = [item]
    return dataset


def _negative_class() -> Situation:
    def shares(positive: float) -> tuple[Finding, ...]:
        return tuple(
            replace(
                finding(name=name, code="", score=score, above_threshold=score > 0.5),
                class_of="assessment",
            )
            for name, score in (("normal", 1.0 - positive), ("suspicious", positive))
        )

    pairs = []
    for (side, view), positive in zip(standard_views(), (0.1, 0.2, 0.3, 0.4), strict=True):
        dataset = mammogram(view, side)
        pairs.append((dataset, image_of(dataset, *shares(positive), NEGATIVE)))
    return _scored(pairs)


def _extreme_scores() -> Situation:
    def at(score: float, left: int) -> Finding:
        return replace(finding(marker_mask(left, 150), score=score), threshold=score)

    left, right = mammogram("CC", "L"), mammogram("CC", "R")
    none = replace(NEGATIVE, score=0.0, name="asymmetry", code="", threshold=0.0004)
    almost = replace(NEGATIVE, score=0.4999, name="distortion", code="", threshold=0.5)
    return _scored(
        [
            (left, image_of(left, at(1.0, 60), none, almost)),
            (right, image_of(right, at(0.0004, 200))),
        ]
    )


def _at_the_edges() -> Situation:
    dataset = mammogram("CC", "L")
    boxes = (
        box_of(0.0, 0.0, 30.0, 30.0, 0.9),
        box_of(270.0, 370.0, 300.0, 400.0, 0.8),
        box_of(0.0, 399.0, 1.0, 400.0, 0.7),
        box_of(0.0, 0.0, 300.0, 400.0, 0.6),
    )
    return _scored([(dataset, image_of(dataset, boxed(*boxes)))])


def _film() -> Situation:
    return _all(
        mammogram(
            view,
            side,
            SOPClassUID=ComputedRadiographyImageStorage,
            without=("ImagerPixelSpacing", "ViewCodeSequence", "PresentationIntentType"),
        )
        for side, view in standard_views()
    )


def _flipped() -> Situation:
    """Return a left breast that hangs from the right edge, head down."""
    return _all(
        mammogram(
            view,
            "L",
            PatientOrientation=["P", "HL" if view == "MLO" else "R"],
            FieldOfViewHorizontalFlip="YES",
            FieldOfViewRotation=0,
            FieldOfViewOrigin=[0.0, 0.0],
        )
        for view in ("CC", "MLO")
    )


def _several_requests() -> Situation:
    datasets = [mammogram(view, side, AccessionNumber="") for side, view in standard_views()]
    for number, dataset in enumerate(datasets):
        dataset.RequestAttributesSequence = [Dataset(), Dataset()]
        for item, name in zip(dataset.RequestAttributesSequence, (number % 2, 9), strict=True):
            item.AccessionNumber, item.RequestedProcedureID = f"A{name}", f"P{name}"
    return _all(datasets)


def _turned() -> Situation:
    """Return a left breast that was stored turned by half a circle."""
    rows = {"CC": ["P", "L"], "MLO": ["P", "HL"]}
    return _all(mammogram(view, "L", PatientOrientation=rows[view]) for view in rows)


def _side_of_frames_alone() -> Situation:
    volume, anatomy = tomosynthesis("L", "CC", frames=1), Dataset()
    del volume.ImageLaterality
    anatomy.FrameLaterality = "L"
    volume.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    answer = image_of(volume, finding(marker_mask(60, 150)))
    return _scored([(volume, replace(answer, laterality="L"))])


def _volume_of_one_breast() -> Situation:
    volume = tomosynthesis("L", "CC", frames=5)
    found = replace(finding(marker_mask(60, 150)), frame=5)
    slice_ = (volume, replace(image_of(volume, found), frame=5))
    return _scored([slice_, *map(marked, (mammogram("CC", "R"), mammogram("MLO", "R")))])


def _special_and_partial() -> Situation:
    partial_view = mammogram("MLO", "L", PartialView="YES")
    return _all([with_modifier("399055006", "spot compression"), partial_view])


def _crowded() -> Situation:
    size = (2000, 1500)
    dataset = mammogram("MLO", "L", size=size)
    corners = [(20 + 100 * (place % 10), 300 + 150 * (place // 10)) for place in range(75)]
    boxes = [
        box_of(left, top, left + 70, top + 100, 0.99 - place / 100)
        for place, (left, top) in enumerate(corners)
    ]
    return _scored([(dataset, image_of(dataset, boxed(*boxes)))])


def _smallest_and_largest() -> Situation:
    dot, whole = mammogram("CC", "L"), mammogram("CC", "R")
    pixel = boxed(box_of(100, 200, 101, 201, 0.9))
    breast = finding(breast_pixels(whole) > 0, name="asymmetry", code="")
    return _scored([(dot, image_of(dot, pixel)), (whole, image_of(whole, breast))])


def _density_alone() -> Situation:
    pairs = []
    for side, view in standard_views():
        dataset = mammogram(view, side)
        answer = replace(image_of(dataset), density_scores=(0.1, 0.2, 0.3, 0.4))
        pairs.append((dataset, answer))
    breasts = (BreastFindings(laterality=side, findings=(), density="D") for side in "RL")
    return study_situation(pairs, tuple(breasts))


def _everyone(**attributes: Any) -> Situation:
    return _all(mammogram(view, side, **attributes) for side, view in standard_views())


UNUSUAL: dict[str, Callable[[], Situation]] = {
    "only a pair of MLO": lambda: _all(mammogram("MLO", side) for side in "RL"),
    "three without a side": _without_side,
    "spot magnification": _spot,
    "implants displaced": _implants,
    "for processing only": _for_processing_only,
    "volume with generated 2D": _volume_with_generated_2d,
    "volume left out": _left_out_volume,
    "huge names": partial(_everyone, name=HUGE_NAME, charset=["", "ISO 2022 IR 87"]),
    "no study date": partial(_everyone, without=("StudyDate", "StudyTime")),
    "pixels of 2 mm": partial(_everyone, ImagerPixelSpacing=[2.0, 2.0]),
    "MONOCHROME1 with a table": lambda: _all(
        _table(mammogram(view, side, photometric="MONOCHROME1")) for side, view in standard_views()
    ),
    "flipped": _flipped,
    "forty findings": _many_findings,
    "two sizes": _two_sizes,
    "contrast": _contrast,
    "male patient": partial(_everyone, PatientSex="M"),
    "no age": partial(_everyone, without=("PatientBirthDate", "PatientSex")),
    "other time zone": partial(_everyone, TimezoneOffsetFromUTC="+0545"),
    "negative class": _negative_class,
    "extreme scores": _extreme_scores,
    "regions at the edges": _at_the_edges,
    "film": _film,
    "both breasts": lambda: _all([mammogram("CC", "B"), mammogram("MLO", "B")]),
    "wide image": lambda: _all([mammogram("CC", "L", size=(300, 700))]),
    "other views": lambda: _all(mammogram(view, "L") for view in ("ML", "LM", "XCCL", "SIO")),
    "several requests": _several_requests,
    "turned": _turned,
    "side of frames alone": _side_of_frames_alone,
    "volume of one breast": _volume_of_one_breast,
    "special and partial": _special_and_partial,
    "crowded": _crowded,
    "smallest and largest": _smallest_and_largest,
    "density alone": _density_alone,
    "leap day": partial(_everyone, StudyDate="20240229", PatientBirthDate="19520229"),
    "other sex": partial(_everyone, PatientSex="O", TimezoneOffsetFromUTC="-1200"),
    "Greek": partial(_everyone, name="Διονυσιος^Μαρια", charset="ISO_IR 126"),
    "Arabic": partial(_everyone, name="قباني^لنزار", charset="ISO_IR 127"),
    "Hebrew": partial(_everyone, name="שרון^דבורה", charset="ISO_IR 138"),
    "Thai": partial(_everyone, name="นามสกุล^ชื่อ", charset="ISO_IR 166"),
}
"""Each study that the results have to be right for too."""

EVERY_SITUATION = {**SITUATIONS, **UNUSUAL}
