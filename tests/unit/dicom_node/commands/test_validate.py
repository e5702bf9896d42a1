"""The validate command finds what is wrong with an object, and passes what is right."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from any_account import any_account
from cad_cases import CAD_CASES
from objects_factory import finding, image_of, mammogram, marker_mask, study_of
from pydicom.dataset import Dataset
from sr_reading import concept, is_reference, read_back, walk
from studies_on_disk import document_in, four_views, node, written

from dicom_node.commands.validate import Judgement, validate_path
from dicom_node.objects.content.content_rules import complaints_about


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    study, findings = four_views(folder, finding(marker_mask(100, 150)))
    done = node("render", study, "--out", folder / "out", "--findings", findings)
    assert done.exit_code == 0, done.output
    return folder / "out"


def one_of(rendered: Path, kind: str) -> Dataset:
    return pydicom.dcmread(next(iter(sorted(rendered.glob(f"*{kind}.dcm")))))


def _dangling(report: Dataset) -> None:
    item = next(item for _, item in walk(report) if is_reference(item))
    item.ReferencedContentItemIdentifier = [1, 2, 9]


def _to_no_image(report: Dataset) -> None:
    item = next(item for _, item in walk(report) if is_reference(item))
    item.ReferencedContentItemIdentifier = [1, 3]


def _open(report: Dataset) -> None:
    item = next(item for _, item in walk(report) if concept(item) == "111041")
    item.GraphicData = list(item.GraphicData)[:-2]


def _shared_tracking(report: Dataset) -> None:
    for _, item in walk(report):
        if concept(item) == "112040":
            item.UID = "1.2.3"


def _without_evidence(report: Dataset) -> None:
    del report.CurrentRequestedProcedureEvidenceSequence


def _contradicting(report: Dataset) -> None:
    item = next(item for _, item in walk(report) if concept(item) == "111017")
    item.ConceptCodeSequence[0].CodeValue = "111241"


def _verified(report: Dataset) -> None:
    report.VerificationFlag = "VERIFIED"


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_dangling, "leads nowhere"),
        (_to_no_image, "to no image"),
        (_open, "not closed"),
        (_shared_tracking, "is used 4 times"),
        (_without_evidence, "no evidence"),
        (_contradicting, "contradicts"),
        (_verified, "UNVERIFIED"),
    ],
)
def test_spoilt_report_is_found_out(spoil: Callable[[Dataset], None], complaint: str) -> None:
    report = read_back(CAD_CASES["four views"]())
    assert complaints_about(report) == []

    spoil(report)

    assert any(complaint in one for one in complaints_about(report))


@pytest.mark.parametrize("keyword", ["SeriesNumber", "PatientID", "Modality"])
def test_missing_attribute_is_found_out(rendered: Path, keyword: str) -> None:
    capture = one_of(rendered, "secondary_capture")
    del capture[keyword]

    assert any(keyword in one for one in complaints_about(capture))


def test_empty_frame_is_found_out(rendered: Path) -> None:
    segmentation = one_of(rendered, "segmentation")
    segmentation.PixelData = bytes(len(segmentation.PixelData))

    assert complaints_about(segmentation) == ["frame 1 is empty"]


@pytest.mark.parametrize("is_compressed", [True, False])
@pytest.mark.parametrize("bytes_left_out", [2, 10_000, None])
def test_cut_picture_is_found_out(
    rendered: Path, bytes_left_out: int | None, *, is_compressed: bool
) -> None:
    capture = one_of(rendered, "secondary_capture")
    assert complaints_about(capture) == []
    if not is_compressed:
        capture.decompress(generate_instance_uid=False)
        assert complaints_about(capture) == []
    left = 0 if bytes_left_out is None else len(capture.PixelData) - bytes_left_out
    capture.PixelData = capture.PixelData[:left]

    assert complaints_about(capture) == ["PixelData does not hold the picture's pixels"]


def test_object_without_research_mark_is_found_out(rendered: Path) -> None:
    capture = one_of(rendered, "secondary_capture")
    capture.SeriesDescription = "AI"

    assert complaints_about(capture) == ["SeriesDescription does not say RESEARCH USE ONLY"]


def test_segmentation_is_lit_where_numpy_says(rendered: Path) -> None:
    segmentation = one_of(rendered, "segmentation")

    assert np.asarray(segmentation.pixel_array).any()


@pytest.mark.validators
@pytest.mark.timeout(300)
def test_rendered_objects_pass_everything_that_is_installed(tmp_path: Path) -> None:
    # One report of one image: DicomSRValidator reads its rules anew for each, which takes seconds.
    image, out = mammogram(), tmp_path / "out"
    study = written(tmp_path / "study", image)
    findings = document_in(tmp_path, study_of(image_of(image, finding(marker_mask(100, 150)))))
    made = node("render", study, "--out", out, "--findings", findings, "--profile", "ohif")
    assert made.exit_code == 0, made.output

    done = node("validate", out, "--json")

    verdicts = json.loads(done.stdout)["verdicts"]
    assert [one for one in verdicts if one["verdict"] == Judgement.FAILED] == []
    assert done.exit_code == 0
    assert {one["file"] for one in verdicts} == set(map(str, out.iterdir()))
    assert {one["validator"] for one in verdicts} >= {"dciodvfy", "dsrdump", "DicomSRValidator"}


@pytest.mark.validators
def test_spoilt_file_ends_the_command_with_failure(rendered: Path, tmp_path: Path) -> None:
    capture = one_of(rendered, "secondary_capture")
    del capture.ConversionType
    file = tmp_path / "spoilt.dcm"
    capture.save_as(file)

    done = node("validate", file)

    assert done.exit_code == 1
    assert "ConversionType" in done.stdout


def test_file_that_is_no_dicom_fails(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("nothing")

    (verdict,) = validate_path(file)

    assert verdict.failed


def test_folder_that_shows_its_names_alone_is_a_failure_of_its_files(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "a.dcm").write_bytes(b"")
    closed.chmod(0o400)

    with any_account():
        (verdict,) = validate_path(tmp_path)
    closed.chmod(0o700)

    assert verdict.verdict is Judgement.FAILED
    assert "cannot be read: PermissionError" in str(verdict)


def test_folder_without_dicom_files_fails(tmp_path: Path) -> None:
    assert node("validate", tmp_path).exit_code == 1


def test_validator_that_is_not_installed_is_said_so(
    rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    verdicts = validate_path(next(iter(rendered.glob("*summary_sheet.dcm"))))

    assert [one.verdict for one in verdicts] == [Judgement.PASSED, Judgement.NOT_INSTALLED]


def test_linked_folder_is_validated(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "objects").symlink_to(rendered)

    assert len(validate_path(tmp_path)) == len(validate_path(rendered)) > 0
