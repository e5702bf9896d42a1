"""An engine numbers and locates what it finds, from the files that it is given."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from core_factory import StandInModel, mammogram, manifest_with, save
from engine_factory import marked

from mammoclip_core.analysis.engine import Engine
from mammoclip_core.analysis.study_request import ImageToAnalyse, StudyRequest
from mammoclip_core.findings import Region
from mammoclip_core.findings_document import from_json, to_json

VIEWS = {"CC": (110, 140), "MLO": (110, 420)}
"""Where (column, row) the one bright square of each view lies."""

SIZE = (600, 400)
HEADER: dict[str, Any] = {"ImagerPixelSpacing": [0.3, 0.3]}
ORIENTATIONS = {"CC": ["A", "R"], "MLO": ["A", "FR"]}


def regions_of(folder: Path, **attributes: Any) -> dict[str, Region]:
    """Return the highest region of each view of a left breast."""
    images = []
    for number, (view, mark) in enumerate(VIEWS.items(), start=1):
        uid = f"1.2.3.4.{number}"
        own = {"ViewPosition": view, "PatientOrientation": ORIENTATIONS[view]}
        dataset = mammogram(
            marked(*SIZE, mark), SOPInstanceUID=uid, **{**HEADER, **own, **attributes}
        )
        images.append(
            ImageToAnalyse(
                sop_instance_uid=uid,
                path=save(dataset, folder / f"{view}.dcm"),
                laterality="L",
                view_position=view,
            )
        )
    request = StudyRequest(study_instance_uid="1.2.3.4", images=tuple(images))
    findings = Engine(StandInModel(manifest_with())).analyze(request).findings
    assert from_json(to_json(findings)) == findings
    return {image.view_position: image.findings[0].regions[0] for image in findings.images}


def test_lesion_that_both_views_show_has_one_number_and_a_quadrant(tmp_path: Path) -> None:
    cc, mlo = regions_of(tmp_path).values()

    assert cc.lesion == mlo.lesion == 1
    assert str(cc.location) == str(mlo.location) == "lower outer quadrant, middle third"
    assert replace(cc, lesion=0, location=None) != replace(mlo, lesion=0, location=None)


def test_lesions_of_images_without_spacing_are_numbered_apart_and_not_located(
    tmp_path: Path,
) -> None:
    cc, mlo = regions_of(tmp_path, ImagerPixelSpacing="").values()

    assert (cc.lesion, mlo.lesion) == (1, 2)
    assert cc.location is mlo.location is None
