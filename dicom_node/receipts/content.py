"""What a receipt says of a study, read from the ledger: no value that names the patient."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    Instance,
    ResultObject,
    Study,
    Transition,
)

FORMAT: Final = 1

_PROOFS: Final = (DeliveryState.ACCEPTED, DeliveryState.CONFIRMED, DeliveryState.COMMITTED)


def receipt_entries(session: Session, study: Study) -> Iterator[dict[str, Any]]:
    """Yield what came, by what it was analysed, what was made of it, and what went where.

    Each entry has a ``kind``: received, analysed, made or delivered.
    """
    rows = session.scalars(
        select(Instance).where(Instance.study_id == study.id).order_by(Instance.id)
    )
    for image in rows:
        yield {
            "kind": "received",
            "sop_instance_uid": image.sop_instance_uid,
            "sop_class_uid": image.sop_class_uid,
            "sha256": image.content_sha256,
            "size_bytes": image.size_bytes,
            "from": image.calling_ae_title,
            "at": _instant(image.received_at),
            "state": image.state.value,
            "reason": image.reason or image.left_out_reason,
        }
    query = select(Analysis).where(Analysis.study_id == study.id).order_by(Analysis.revision)
    for analysis in session.scalars(query).all():
        yield _analysed(analysis)
        results = session.scalars(
            select(ResultObject)
            .where(ResultObject.analysis_id == analysis.id)
            .order_by(ResultObject.id)
        ).all()
        for result in results:
            yield {
                "kind": "made",
                "revision": analysis.revision,
                "type": result.kind,
                "sop_class_uid": result.sop_class_uid,
                "sop_instance_uid": result.sop_instance_uid,
                "sha256": result.sha256,
            }
        uids = {result.id: result.sop_instance_uid for result in results}
        yield from _deliveries(session, analysis, uids)


def _analysed(analysis: Analysis) -> dict[str, Any]:
    findings = json.loads(analysis.findings or "{}")
    document = (analysis.findings or "").encode()
    return {
        "kind": "analysed",
        "revision": analysis.revision,
        "state": analysis.state.value,
        "reason": analysis.reason,
        "bundle": analysis.bundle,
        "settings_sha256": findings.get("settings_sha256", ""),
        "engine": findings.get("engine"),
        "rule": analysis.rule,
        "findings_sha256": hashlib.sha256(document).hexdigest() if document else "",
        "finished_at": _instant(analysis.finished_at),
    }


def _deliveries(
    session: Session, analysis: Analysis, uids: dict[int, str]
) -> Iterator[dict[str, Any]]:
    query = select(Delivery).where(Delivery.analysis_id == analysis.id).order_by(Delivery.id)
    for delivery in session.scalars(query).all():
        steps = session.scalars(
            select(Transition)
            .where(Transition.subject == "delivery", Transition.subject_id == delivery.id)
            .order_by(Transition.id)
        )
        reached = {step.after: _instant(step.at) for step in steps}
        outcomes = session.scalars(
            select(DeliveryOutcome)
            .where(DeliveryOutcome.delivery_id == delivery.id)
            .order_by(DeliveryOutcome.result_object_id)
        )
        yield {
            "kind": "delivered",
            "revision": analysis.revision,
            "destination": delivery.destination,
            "state": delivery.state.value,
            "reason": delivery.reason,
            **{f"{state.value}_at": reached.get(state.value) for state in _PROOFS},
            "objects": [
                {
                    "sop_instance_uid": uids.get(one.result_object_id, ""),
                    "outcome": one.outcome,
                    "status": one.status,
                    "at": _instant(one.at),
                }
                for one in outcomes
            ],
        }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")
