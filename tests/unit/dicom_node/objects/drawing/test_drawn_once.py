"""What was decoded is what is drawn: once, and no larger than it is shown."""

import gc
import weakref
from collections import Counter

import numpy as np
from every_kind import COMPRESSED, EVERY_KIND
from objects_factory import (
    breast_pixels,
    finding,
    identity,
    image_of,
    mammogram,
    marker_mask,
    standard_views,
    study_of,
)

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.drawing import rendering
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.results import build_results, stream_results
from dicom_node.objects.sources import SourceInstance
from mammoclip_core.findings import StudyAnalysis


def test_each_image_is_decoded_once_for_all_kinds_and_forms() -> None:
    datasets = [mammogram(view, side) for side, view in standard_views()]
    decoded: Counter[str] = Counter()

    def source_of(dataset):
        def pixels(_: int) -> np.ndarray:
            decoded[str(dataset.SOPInstanceUID)] += 1
            return breast_pixels(dataset)

        return SourceInstance(dataset=dataset, pixels=pixels)

    findings = study_of(*(image_of(one, finding(marker_mask(60, 150))) for one in datasets))
    build_results(
        list(map(source_of, datasets)),
        StudyAnalysis(findings=findings),
        identity(),
        profiles=(EVERY_KIND, *COMPRESSED),
    )

    assert set(decoded.values()) == {1}
    assert len(decoded) == 4


def test_objects_that_were_handed_on_are_not_held() -> None:
    pairs = [
        (dataset, image_of(dataset, finding(marker_mask(60, 150))))
        for dataset in (mammogram(view, side) for side, view in standard_views())
    ]
    made = stream_results(
        [SourceInstance(dataset=one, pixels=breast_pixels(one)) for one, _ in pairs],
        StudyAnalysis(findings=study_of(*(image for _, image in pairs))),
        identity(),
        profiles=(EVERY_KIND,),
    )
    held: list[weakref.ref] = []
    most = Counter[str]()
    for result in made:
        held.append(weakref.ref(result.dataset))
        kind = result.kind
        del result
        gc.collect()
        most[kind] = max(most[kind], sum(one() is not None for one in held))

    # No object is in memory when the next one of another series is made.
    assert set(most.values()) == {0}
    assert most[ResultKind.SECONDARY_CAPTURE] == most[ResultKind.SEGMENTATION] == 0


def test_window_is_applied_to_values_instead_of_pixels(monkeypatch) -> None:
    dataset = mammogram(size=(4096, 3328))
    windowed = []
    window = rendering.apply_voi_window

    def noted(values, *arguments, **options):
        windowed.append(values.size)
        return window(values, *arguments, **options)

    monkeypatch.setattr(rendering, "apply_voi_window", noted)

    show(dataset, breast_pixels(dataset), 2048)

    assert windowed == [1501]  # from 0 to the highest value


def test_wide_values_are_shown_as_narrow_ones() -> None:
    narrow = mammogram(size=(600, 400))
    stored = breast_pixels(narrow)
    wide = mammogram(size=(600, 400), WindowCenter=2048 * 4000, WindowWidth=4096 * 4000)

    for long_side in (300, 600):
        first = show(narrow, stored, long_side).pixels.astype(int)
        last = show(wide, stored.astype(np.int32) * 4000, long_side).pixels

        assert np.abs(first - last).max() <= 1


def test_reduced_image_looks_as_the_whole_one() -> None:
    dataset = mammogram(size=(1600, 1200), PixelPaddingValue=4000)
    stored = breast_pixels(dataset)
    stored[:100] = 4000

    first = show(dataset, stored, 400).pixels.astype(int)
    last = show(dataset, stored).within(400, 400).pixels

    assert np.abs(first - last).max() <= 2
    assert first[:24].max() == 0
