import json
from dataclasses import replace

import pytest

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings import (
    BreastFindings,
    BundleIdentity,
    EngineIdentity,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    StudyFindings,
    digest,
)
from mammoclip_core.findings_document import from_json, to_json

REGION = Region(
    outline=((10.5, 20.5), (30.5, 20.5), (30.5, 44.5)),
    box=(10.0, 20.0, 31.0, 45.0),
    area_pixels=260,
    peak=(28.5, 30.5),
    activation=0.875,
)
MASS = Finding(
    name="mass",
    code="SCT|4147007|Mass",
    score=0.625,
    calibrated=False,
    above_threshold=True,
    source=FindingSource.PROMPT,
    method=LocalisationMethod.CAM,
    regions=(REGION,),
)
STUDY = StudyFindings(
    study_instance_uid="1.2.3",
    bundle=BundleIdentity(
        name="b", version="1", sha256="0" * 64, licence="MIT", permitted_use="unrestricted use"
    ),
    settings_sha256="1" * 64,
    images=(
        ImageFindings(
            sop_instance_uid="1.2.3.1",
            laterality="R",
            view_position="CC",
            status=ImageStatus.ANALYSED,
            findings=(MASS,),
            density_scores=(0.1, 0.2, 0.3, 0.4),
        ),
        ImageFindings(sop_instance_uid="1.2.3.2", status=ImageStatus.FAILED, reason="no pixels ä"),
    ),
    breasts=(BreastFindings(laterality="R", findings=(replace(MASS, regions=()),), density="D"),),
    study=(replace(MASS, regions=()),),
    engine=EngineIdentity(name="openvino", version="2026.4.1", precision="float32"),
)


def with_score(score: float) -> StudyFindings:
    image = replace(STUDY.images[0], findings=(replace(MASS, score=score),))
    return replace(STUDY, images=(image, *STUDY.images[1:]))


def test_document_reads_back_as_it_was_written() -> None:
    assert from_json(to_json(STUDY)) == STUDY


def test_finding_keeps_its_frame() -> None:
    image = replace(STUDY.images[0], frame=7, findings=(replace(MASS, frame=12),))
    study = replace(STUDY, images=(image,))

    assert from_json(to_json(study)) == study


def test_document_without_frames_of_findings_is_read() -> None:
    document = json.loads(to_json(STUDY))
    del document["images"][0]["findings"][0]["frame"]

    assert from_json(json.dumps(document)).images[0].findings[0].frame == 1


def test_document_without_its_engine_is_read() -> None:
    document = json.loads(to_json(STUDY))
    del document["engine"]

    assert from_json(json.dumps(document)) == replace(STUDY, engine=None)


@pytest.mark.parametrize("engine", ["openvino", {"name": "openvino"}, {"cores": 2}, [1]])
def test_engine_that_is_none_is_refused(engine: object) -> None:
    document = json.loads(to_json(STUDY)) | {"engine": engine}

    with pytest.raises(FindingsFormatError):
        from_json(json.dumps(document))


@pytest.mark.parametrize("frame", [0, -3, "2"])
def test_frame_that_does_not_exist_is_refused(frame: object) -> None:
    document = json.loads(to_json(STUDY))
    document["images"][0]["findings"][0]["frame"] = frame

    with pytest.raises(FindingsFormatError, match=r"frame|not supported"):
        from_json(json.dumps(document))


def test_document_of_unknown_format_is_refused() -> None:
    document = json.loads(to_json(STUDY)) | {"format": 2}

    with pytest.raises(FindingsFormatError, match="format 2"):
        from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "images": 3}'])
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(FindingsFormatError):
        from_json(text)


def test_document_with_unknown_key_is_refused() -> None:
    document = json.loads(to_json(STUDY)) | {"patient_name": "x"}

    with pytest.raises(FindingsFormatError, match="patient_name"):
        from_json(json.dumps(document))


def test_document_with_score_outside_its_range_is_refused() -> None:
    text = to_json(STUDY).replace("0.625", "1.625")

    with pytest.raises(FindingsFormatError, match="outside"):
        from_json(text)


def test_digest_ignores_differences_below_a_thousandth() -> None:
    assert digest(with_score(0.6251)) == digest(STUDY)


def test_digest_ignores_which_version_computed() -> None:
    assert digest(replace(STUDY, engine=None)) == digest(STUDY)


def test_digest_tells_scores_apart() -> None:
    assert digest(with_score(0.627)) != digest(STUDY)


def test_digest_tells_outlines_apart() -> None:
    moved = replace(REGION, outline=((12.5, 20.5), (30.5, 20.5), (30.5, 44.5)))
    image = replace(STUDY.images[0], findings=(replace(MASS, regions=(moved,)),))

    assert digest(replace(STUDY, images=(image, STUDY.images[1]))) != digest(STUDY)


def test_study_with_failed_image_is_partial() -> None:
    assert STUDY.is_partial


def test_failed_image_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="without a reason"):
        ImageFindings(sop_instance_uid="1.2", status=ImageStatus.FAILED)
