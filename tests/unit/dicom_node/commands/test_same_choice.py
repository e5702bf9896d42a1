"""The node, `mammoclip-node render` and `mammoclip-predict image` choose the same images."""

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from bundles import bundle
from node_factory import Reception, coded_view
from objects_factory import mammogram, uid_of
from pydicom.dataset import Dataset
from studies_on_disk import node, written
from study_cases import CASES
from typer.testing import CliRunner

from dicom_node.commands.render import Model, analyse
from dicom_node.facts.storage_classes import SECONDARY_CAPTURE_CLASSES
from dicom_node.studies.ledger.tables import Study
from dicom_node.studies.study_selection import instances_of, selection_of
from mammoclip_core.commands.predict import app
from mammoclip_core.findings import ImageStatus, StudyFindings
from mammoclip_core.findings_document import from_json
from mammoclip_core.images.header.image_kind import (
    DIGITAL_MAMMOGRAPHY_FOR_PROCESSING,
    TOMOSYNTHESIS_CLASSES,
)
from mammoclip_core.manifest import read_manifest

__all__ = ["bundle"]

RAW = {
    "SOPClassUID": DIGITAL_MAMMOGRAPHY_FOR_PROCESSING,
    "PresentationIntentType": "FOR PROCESSING",
}
(SECONDARY_CAPTURE,) = SECONDARY_CAPTURE_CLASSES
(TOMOSYNTHESIS,) = TOMOSYNTHESIS_CLASSES

Choice = tuple[set[str], dict[str, str]]


def _numbered(number: int, view: str, **attributes: object) -> Dataset:
    uid = uid_of("choice", str(number))
    return mammogram(view, SOPInstanceUID=uid, size=(400, 300), **attributes)


def _of_tomosynthesis(kind: str) -> dict[str, object]:
    return {
        "SOPClassUID": TOMOSYNTHESIS,
        "ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", kind],
        "NumberOfFrames": 1,
    }


@pytest.fixture(scope="module")
def mixed_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a study with an image of each kind that is left out, and four that are not."""
    folder = tmp_path_factory.mktemp("mixed")
    written(
        folder,
        _numbered(1, "CC"),
        _numbered(2, "CC", **RAW),
        _numbered(3, "MLO", **RAW),
        _numbered(4, "MLO", ViewCodeSequence=[coded_view("399368009", "SCT", "399055006")]),
        _numbered(5, "MLO", ViewCodeSequence=[coded_view("399368009", "SCT", "399163009")]),
        _numbered(6, "MLO", EstimatedRadiographicMagnificationFactor="1.8"),
        _numbered(7, "MLO", QualityControlImage="YES"),
        _numbered(8, "MLO", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        _numbered(9, "SPECIMEN"),
        _numbered(10, "MLO", SOPClassUID=SECONDARY_CAPTURE),
        _numbered(11, "CC", ImageType=["DERIVED", "PRIMARY", "CONTRAST", "SUBTRACTION", ""]),
        _numbered(12, "CC", ImageType=["ORIGINAL", "PRIMARY", "CONTRAST", "", "HIGH_ENERGY"]),
        _numbered(13, "CC", ImageType=["DERIVED", "PRIMARY", "STEREO", "LEFT"]),
        _numbered(14, "CC", ImageType=["ORIGINAL", "PRIMARY", "POSTFIRE_PLUS"]),
        _numbered(15, "MLO", ImageType=["ORIGINAL", "PRIMARY", "TOMO_PROJ"]),
        _numbered(16, "CC", ImageType=["DERIVED", "PRIMARY", "TOMO_2D", "GENERATED_2D"]),
        _numbered(17, "ML", ImageType=["DERIVED", "PRIMARY", "CONTRAST", "", "LOW_ENERGY"]),
        _numbered(18, "LM", **_of_tomosynthesis("GENERATED_2D")),
        _numbered(19, "LMO", **_of_tomosynthesis("NONE")),
        _numbered(20, "CC", BodyPartExamined="SPECIMEN"),
    )
    results = CASES["one finding"]()
    for number, result in enumerate(results):
        result.dataset.save_as(folder / f"result-{number}", enforce_file_format=True)
    (folder / "notes.txt").write_text("no DICOM")
    return folder


def by_the_node(folder: Path, reception: Reception, _: Path) -> Choice:
    for file in sorted(folder.glob("image-*")):
        reception.receive(pydicom.dcmread(file))
    with reception.database.reading() as session:
        (study,) = session.query(Study)
        assert instances_of(session, study)
        selection = selection_of(session, study)
        return (
            {row.sop_instance_uid for row, _ in selection.chosen},
            {one.sop_instance_uid: one.reason for one in selection.left_out},
        )


def by_predict(folder: Path, _: Reception, bundle: Path) -> Choice:
    arguments = ["image", str(folder), "--bundle", str(bundle), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return _choice_in(from_json(result.stdout))


def by_render(folder: Path, _: Reception, bundle: Path) -> Choice:
    return _choice_in(analyse(folder, bundle, read_manifest(bundle), Model()).findings)


def _choice_in(findings: StudyFindings) -> Choice:
    return (
        {image.sop_instance_uid for image in findings.analysed},
        {
            image.sop_instance_uid: image.reason
            for image in findings.images
            if image.status is ImageStatus.LEFT_OUT
        },
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("chosen_by", [by_the_node, by_predict, by_render])
def test_same_images_are_chosen(
    chosen_by: Callable[[Path, Reception, Path], Choice],
    mixed_study: Path,
    reception: Reception,
    bundle: Path,
) -> None:
    chosen, left_out = chosen_by(mixed_study, reception, bundle)

    assert chosen == {uid_of("choice", number) for number in ("1", "3", "17", "18")}
    assert left_out == {
        uid_of("choice", str(number)): reason
        for number, reason in {
            2: "For Processing image beside a For Presentation image of the same view",
            4: "spot compression view",
            5: "magnification view",
            6: "magnification view",
            7: "quality control image",
            8: "localiser",
            9: "specimen image",
            11: "combined image of a contrast study",
            12: "high-energy image of a contrast study",
            13: "stereotactic image",
            14: "biopsy image",
            15: "tomosynthesis projection",
            16: "generated 2D image beside a full-field image of the same view",
            19: "slice of a tomosynthesis",
            20: "specimen image",
        }.items()
    }


def test_folder_of_two_studies_is_not_rendered_as_one(tmp_path: Path, bundle: Path) -> None:
    folder = written(
        tmp_path / "study", _numbered(1, "CC"), _numbered(2, "CC", StudyInstanceUID="1.2.3")
    )

    done = node("render", folder, "--out", tmp_path / "out", "--bundle", bundle, "--json")

    assert done.exit_code == 1
    assert "holds images of 2 studies" in done.stderr
