"""A ledger with the notes of a simulated year."""

import itertools
import json
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import insert

from dicom_node.monitoring.observation import Observation
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.states import AnalysisState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Study

_numbers = itertools.count(1)
BUNDLE = "stand-in 1 " + "ab" * 32


def enter_notes(database: Database, seen: Iterable[Observation]) -> None:
    """Enter studies, analyses and notes of answers."""
    studies, analyses, notes = [], [], []
    for one in seen:
        number = next(_numbers)
        studies.append(
            {
                "id": number,
                "study_instance_uid": f"1.2.3.{number}",
                "state": StudyState.SETTLED,
                "version": 0,
                "patient_digest": "",
                "revision": 1,
                "remark": "",
                "calling_ae_title": "SCANNER",
                "first_received_at": one.at,
                "last_received_at": one.at,
            }
        )
        analyses.append(
            {
                "id": number,
                "study_id": number,
                "revision": 1,
                "state": AnalysisState.DONE,
                "version": 0,
                "attempts": 1,
                "due_at": one.at,
                "created_at": one.at,
                "finished_at": one.at + timedelta(minutes=3),
                "lease_holder": "",
                "reason": "",
                "bundle": BUNDLE,
            }
        )
        score = one.scores["cancer"]
        notes.append(
            {
                "id": number,
                "analysis_id": number,
                "at": one.at,
                "seconds": 3600 if one.late else 60,
                "sender": "SCANNER",
                "manufacturer": one.equipment.manufacturer,
                "model": one.equipment.model,
                "serial": one.equipment.serial,
                "software": one.equipment.software,
                "presentation": "2D",
                "age_band": "50-59",
                "implants": False,
                "density": "B",
                "bundle": BUNDLE,
                "thresholds": "cd" * 32,
                "flagged": one.flagged,
                "images": 4,
                "left_out": int(one.left_out),
                "scores": f'{{"cancer": [{score}, {str(one.flagged).lower()}]}}',
                "views": "{}",
                "embedding": str(list(one.embedding)),
                "pixels": json.dumps(dict(one.pixels)) if one.pixels else "",
            }
        )
    with database.writing() as session:
        for table, rows in ((Study, studies), (Analysis, analyses), (MonitorNote, notes)):
            session.execute(insert(table), rows)
