"""A registrar that was killed while a corrected image took the place of the former one."""

import pytest
from corrected_images import CORRECTED, copy_of, pictured
from node_factory import NOW, Reception, put

from dicom_node.facts.image_comparison import likeness_of
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt
from dicom_node.studies.ledger.states import InstanceState, StudyState
from dicom_node.studies.ledger.tables import Transition


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches a kill."""


class CutBeforeMoving(Spool):
    def file_away(self, receipt: Receipt, place: str) -> None:
        raise PowerCut


class CutAfterMoving(Spool):
    def file_away(self, receipt: Receipt, place: str) -> None:
        super().file_away(receipt, place)
        raise PowerCut


class CutBeforeDiscarding(Spool):
    def discard(self, place: str) -> None:
        raise PowerCut


class CutAfterDiscarding(Spool):
    def discard(self, place: str) -> None:
        super().discard(place)
        raise PowerCut


CUTS = [CutBeforeMoving, CutAfterMoving, CutBeforeDiscarding, CutAfterDiscarding]


def interrupted(reception: Reception, spool: type[Spool]) -> None:
    """Let a registrar begin on what waits and be killed at some point."""
    doomed = Registrar(
        spool(reception.spool.root),
        reception.database,
        ReceiveSettings(),
        clock=lambda: NOW,
        compare=likeness_of,
    )
    with pytest.raises(PowerCut):
        doomed.register_all()
        doomed.finish_moves()


@pytest.mark.parametrize("cut", CUTS)
def test_correction_that_was_interrupted_ends_like_one_that_was_not(
    reception: Reception, cut: type[Spool]
) -> None:
    first = pictured()
    reception.receive(first)
    put(reception.spool, copy_of(first, **CORRECTED))

    interrupted(reception, cut)
    reception.registrar.register_all()
    reception.registrar.finish_moves()

    former, row = reception.instances()
    assert (former.state, former.place) == (InstanceState.REPLACED, "")
    assert (row.state, row.reason) == (InstanceState.REGISTERED, "corrected")
    assert [*map(str, reception.files("studies"))] == [str(reception.spool.root / row.place)]
    assert reception.files("incoming") == []
    events = [one.event for one in reception.rows(Transition) if one.subject == "instance"]
    assert events == ["new", "file", "replace", "new", "file"]


def test_study_is_open_from_the_moment_in_which_its_image_gives_way(
    reception: Reception,
) -> None:
    first = pictured()
    reception.receive(first)
    with reception.database.writing() as session:
        study = session.merge(reception.study())
        study.state = StudyState.SETTLED
    put(reception.spool, copy_of(first, **CORRECTED))

    interrupted(reception, CutBeforeMoving)

    assert reception.study().state is StudyState.OPEN


def test_former_image_counts_again_if_the_corrected_one_is_lost(reception: Reception) -> None:
    first = pictured()
    before = reception.receive(first)
    receipt = put(reception.spool, copy_of(first, **CORRECTED))
    interrupted(reception, CutBeforeMoving)
    reception.spool.incoming_file(receipt).unlink()

    reception.registrar.register_all()

    former, row = reception.instances()
    assert (former.state, former.place) == (InstanceState.REGISTERED, before.place)
    assert reception.spool.file(before.place).is_file()
    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "file-lost")
    corrected = reception.receive(copy_of(first, **CORRECTED))
    assert corrected.state is InstanceState.REGISTERED
