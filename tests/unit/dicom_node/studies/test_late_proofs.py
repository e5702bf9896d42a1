"""What was accepted before its destination was to prove anything is found, portion by portion."""

from datetime import timedelta

import pytest
from node_factory import NOW, analysis_row, delivery_row, study_row

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.proof import late_proofs as module
from dicom_node.studies.ledger.proof.late_proofs import late_proofs, want_proof
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState


def test_every_delivery_is_found_once_in_portions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 2)
    accepted = []
    with database.writing() as session:
        for number in range(7):
            study = study_row(session, f"1.2.{number}")
            analysis = analysis_row(session, study, state=AnalysisState.DONE)
            state = DeliveryState.CONFIRMED if number == 3 else DeliveryState.ACCEPTED
            # Several at the same moment, and out of order.
            at = NOW - timedelta(days=number // 2)
            row = delivery_row(session, analysis, state=state, finished_at=at)
            if state is DeliveryState.ACCEPTED:
                accepted.append(row.id)
        delivery_row(session, analysis, destination="other", state=state, finished_at=NOW)
    found, position, looks = [], None, 0
    while True:
        with database.writing() as session:
            ids, position = late_proofs(session, "archive", after=position)
            assert want_proof(session, ids, at=NOW) == len(ids)
        found += ids
        looks += 1
        if position is None:
            break

    assert sorted(found) == accepted
    assert looks == 4
    with database.writing() as session:
        assert late_proofs(session, "archive")[0] == []
        assert want_proof(session, accepted, at=NOW) == 0  # already asked for
