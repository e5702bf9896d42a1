"""A running node works off a worklist, beside everything else that it does."""

from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from sending import send
from services import wait_for
from sqlalchemy import select
from worklist_double import Worklist
from worklist_site import CODE, images_of, item, uid

from dicom_node.node_process import running_node
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Transition


def as_sent(image: Any) -> Any:
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


@pytest.mark.long
def test_study_of_a_workitem_is_analysed_as_soon_as_its_images_are_here(
    worklist: Worklist, tmp_path: Path
) -> None:
    settings = Settings(
        spool=tmp_path / "spool",
        receive={"port": free_port(), "minimum_free_bytes": 1},
        settling={"idle_seconds": 10_000, "grace_seconds": 10_000},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
        ups={"url": worklist.url, "workitem_codes": [CODE], "seconds": 0.1},
    )
    worklist.add(item())
    with running_node(settings):
        wait_for(lambda: worklist.state(uid()) == "IN PROGRESS", seconds=60, what="the claim")

        assert send([as_sent(one) for one in images_of()], settings.receive.port) == [0, 0]

        database = Database(settings.ledger_url)

        def reasons() -> list[str]:
            with database.reading() as session:
                settled = select(Transition.reason).where(Transition.event == "settle")
                return list(session.scalars(settled))

        wait_for(reasons, seconds=60, what="the study settles")
        (why,) = reasons()
        database.close()
    assert why == "2 images to analyse; all 2 that a workitem announced are here"
