"""A small answer of a study, with one of everything."""

from dataclasses import replace

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
)

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
