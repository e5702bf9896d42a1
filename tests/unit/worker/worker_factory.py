"""Stand-ins of the worker's tests: an engine that answers without a model, studies to analyse."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from sqlalchemy import select
from unit.dicom_node.node_factory import (
    STUDY_UID,
    Reception,
    mammogram,
)

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.states import StudyState
from dicom_node.studies.ledger.tables import Analysis, Study
from dicom_node.studies.settling import begin_analysis
from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
from mammoclip_core.analysis.lesions import with_lesions
from mammoclip_core.findings import (
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    StudyAnalysis,
    StudyFindings,
)
from mammoclip_core.manifest import Manifest, Preprocessing
from worker.analyze.analysis import analyze_study
from worker.runtime import Runtime

SIDE = 64


def stand_in_manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "name": "stand-in",
        "version": "1",
        "weights_sha256": "ab" * 32,
        "licence": "Apache-2.0",
        "permitted_use": "unrestricted use",
        "trained_on": "nothing",
        "intended_use": "tests",
        "encoders": (),
        "preprocessing": Preprocessing(
            mode="published", rows=1520, columns=912, mean=0.3, std=0.25
        ),
        "findings": (),
    }
    return Manifest(**{**values, **changes})


def shown_mammogram(view: str = "MLO", laterality: str = "L", **attributes: Any) -> Dataset:
    """Return a mammogram from which every result object can be made."""
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    values = {
        "StudyDate": "20260102",
        "StudyTime": "101500",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Manufacturer": "Some scanner",
        "InstanceNumber": 1,
        "BodyPartExamined": "BREAST",
        "PatientOrientation": ["A", "FR"],
        "ImagerPixelSpacing": [0.1, 0.1],
        "PresentationLUTShape": "IDENTITY",
        "WindowCenter": 2048,
        "WindowWidth": 4096,
        "LossyImageCompression": "00",
        "Rows": SIDE,
        "Columns": SIDE,
        "PixelData": ((row + column) * 16).astype("<u2").tobytes(),
        **attributes,
    }
    return mammogram(view, laterality, **values)


@dataclass
class StandInEngine:
    """Answers every image with one finding, or does what a test wants."""

    score: float = 0.9
    finds_nothing: bool = False
    failing: frozenset[str] = frozenset()
    meanwhile: Callable[[], None] = lambda: None
    requests: list[StudyRequest] = field(default_factory=list)

    def analyze(self, request: StudyRequest) -> StudyAnalysis:
        self.requests.append(request)
        self.meanwhile()
        manifest = stand_in_manifest()
        return StudyAnalysis(
            findings=StudyFindings(
                study_instance_uid=request.study_instance_uid,
                bundle=manifest.identity,
                settings_sha256="cd" * 32,
                images=with_lesions(
                    (*map(self._answer, request.images), *request.left_out), geometries={}
                ),
            ),
            pixels={"mean_grey": 0.4},
        )

    def _answer(self, image: ImageToAnalyse) -> ImageFindings:
        known = {
            "sop_instance_uid": image.sop_instance_uid,
            "frame": image.frame,
            "laterality": image.laterality,
            "view_position": image.view_position,
        }
        if image.sop_instance_uid in self.failing:
            return ImageFindings(**known, status=ImageStatus.FAILED, reason="no pixels")
        region = Region(
            outline=((8.0, 8.0), (24.0, 8.0), (24.0, 20.0), (8.0, 20.0)),
            box=(8.0, 8.0, 24.0, 20.0),
            area_pixels=16 * 12,
            peak=(12.5, 10.5),
            activation=0.8,
        )
        finding = Finding(
            name="mass",
            code="SCT|4147007|Mass",
            score=self.score,
            calibrated=False,
            above_threshold=not self.finds_nothing,
            source=FindingSource.PROMPT,
            method=LocalisationMethod.NONE if self.finds_nothing else LocalisationMethod.CAM,
            regions=() if self.finds_nothing else (region,),
        )
        return ImageFindings(
            **known, status=ImageStatus.ANALYSED, reason=image.remark, findings=(finding,)
        )


def break_at_studies(engine: StandInEngine, error: Exception) -> list[StudyRequest]:
    """Have an engine analyse test images alone, and return what it is asked for from now on."""
    answer, asked = engine.analyze, []

    def analyze(request: StudyRequest) -> StudyAnalysis:
        asked.append(request)
        if request.study_instance_uid != CANARY_STUDY:
            raise error
        return answer(request)

    engine.analyze = analyze  # type: ignore[method-assign]
    return asked


def due_analysis(reception: Reception) -> int:
    """Make the analysis of the received study due, as settling does."""
    with reception.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == STUDY_UID)).one()
        study.state = StudyState.SETTLED
        session.flush()
        return begin_analysis(session, study, because="test", at=datetime.now(UTC)).id


def run_analysis(node: Runtime, analysis_id: int) -> Analysis:
    """Do what the task does, and return the row afterwards."""
    with node.leased(Analysis, analysis_id) as taken:
        if taken is not None:
            analyze_study(node, *taken)
    with node.database.reading() as session:
        return session.get_one(Analysis, analysis_id)
