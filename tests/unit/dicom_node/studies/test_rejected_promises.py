"""What was promised to its sender stays, also after a note rejected it."""

from datetime import timedelta

import pytest
from kept_studies import Kept, retention
from node_factory import NOW, Reception, four_views
from rejection_notes import rejection_note
from sqlalchemy import select, update

from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance
from dicom_node.studies.operator_actions import judge_again

UID = "1.2.826.0.1.3680043.8.498.80"


@pytest.mark.parametrize("is_taken_back", [False, True])
def test_image_that_is_promised_to_its_sender_stays_after_a_note_rejected_it(
    reception: Reception, is_taken_back: bool
) -> None:
    images = four_views()
    for image in images:
        reception.receive(image)
    with reception.database.writing() as session:
        session.execute(update(Instance).values(committed_at=NOW))
    reception.receive(rejection_note(images[:1], "113001"))
    uid = str(images[0].SOPInstanceUID)
    if is_taken_back:
        with reception.database.writing() as session:
            judge_again(session, reception.study().study_instance_uid, at=NOW)
        reception.registrar.register_all()
    much_later = retention(
        reception, RetentionSettings(days=1, set_aside_days=1), at=NOW + timedelta(days=9999)
    )

    much_later.step(at_once=True)

    (row,) = [one for one in reception.instances() if one.sop_instance_uid == uid and one.place]
    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "rejected")
    assert row.committed_at == NOW
    assert reception.spool.file(row.place).exists()

    with reception.database.writing() as session:
        session.execute(update(Instance).values(archived_at=NOW))
    much_later.step(at_once=True)
    assert not reception.spool.file(row.place).exists()


def test_rejected_image_that_was_promised_keeps_its_study(reception: Reception) -> None:
    Kept(reception, UID).deliver()
    with reception.database.writing() as session:
        first = session.scalars(select(Instance).order_by(Instance.id)).first()
        assert first is not None
        first.committed_at, first.state, first.reason = NOW, InstanceState.SET_ASIDE, "rejected"

    assert retention(reception).step() == 0
    with reception.database.writing() as session:
        session.execute(update(Instance).values(archived_at=NOW))
    assert retention(reception).step() == 1
