"""After any revision, every reference of every object leads to what an Orthanc then holds."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO

import pydicom
import pytest
import requests
from pydicom.dataset import Dataset
from services import Orthanc
from sqlalchemy import update
from unit.dicom_node.node_factory import STUDY_UID, Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.ways_out.results import ProfileSettings
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery
from worker.deliver.delivery import deliver_results
from worker.runtime import Runtime

EVERYTHING = ProfileSettings(objects=tuple(kind.value for kind in ResultKind))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    archive = Orthanc(tmp_path_factory.mktemp("archive"), node_port=1).start()
    yield archive
    archive.stop()


@pytest.fixture
def node(runtime_with: Callable[..., Runtime], archive: Orthanc) -> Runtime:
    destination = DicomDestination(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=archive.dicom_port
    )
    return runtime_with(
        destinations=(destination,),
        profiles={"everything": EVERYTHING},
        results={"longest_side_pixels": 512},
    )


def with_profile(node: Runtime, profile: str) -> None:
    (destination,) = node.settings.destinations
    changed = destination.model_copy(update={"profile": profile})
    node.settings = node.settings.model_copy(update={"destinations": (changed,)})


def receive(reception: Reception, archive: Orthanc, view: str) -> None:
    """Give an image to the node and to the archive."""
    row = reception.receive(shown_mammogram(view))
    content = reception.spool.file(row.place).read_bytes()
    url = f"http://127.0.0.1:{archive.http_port}/instances"
    requests.post(url, data=content, timeout=30).raise_for_status()


def next_revision(node: Runtime, reception: Reception) -> None:
    run_analysis(node, due_analysis(reception))
    newest = reception.rows(Delivery)[-1].id
    with node.database.writing() as session:
        session.execute(
            update(Delivery).where(Delivery.id == newest).values(due_at=datetime.now(UTC))
        )
    with node.leased(Delivery, newest) as taken:
        assert taken is not None
        deliver_results(node, *taken)
    with node.database.reading() as session:
        delivery = session.get_one(Delivery, newest)
    assert (delivery.state, delivery.reason) == (DeliveryState.ACCEPTED, "")


def nested(dataset: Dataset) -> Iterator[Dataset]:
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from nested(item)


def dangling(archive: Orthanc) -> list[str]:
    """Return every reference of an object in the archive to what is not there, or not there so."""
    held = [pydicom.dcmread(BytesIO(content)) for content in archive.instances(STUDY_UID)]
    instances = {str(one.SOPInstanceUID): str(one.SOPClassUID) for one in held}
    places = {(str(one.SeriesInstanceUID), str(one.SOPInstanceUID)) for one in held}
    wrong = []
    for one in held:
        for item in nested(one):
            uid = str(item.get("ReferencedSOPInstanceUID", ""))
            if uid and instances.get(uid) != item.ReferencedSOPClassUID:
                wrong.append(f"{one.SeriesDescription}: instance {uid}")
            series = str(item.get("SeriesInstanceUID", "")) if item is not one else ""
            for keyword in ("ReferencedSOPSequence", "ReferencedInstanceSequence"):
                for reference in item.get(keyword, []) if series else []:
                    if (series, str(reference.ReferencedSOPInstanceUID)) not in places:
                        wrong.append(f"{one.SeriesDescription}: series {series}")
    return wrong


def test_every_reference_leads_to_what_the_archive_holds(
    node: Runtime, reception: Reception, archive: Orthanc
) -> None:
    receive(reception, archive, "CC")
    receive(reception, archive, "MLO")
    with_profile(node, "all")
    next_revision(node, reception)
    assert dangling(archive) == []
    held = len(archive.instances(STUDY_UID))

    next_revision(node, reception)  # a retry
    assert len(archive.instances(STUDY_UID)) == held

    with_profile(node, "everything")
    next_revision(node, reception)
    assert dangling(archive) == []

    node.engine.score = 0.6
    next_revision(node, reception)
    receive(reception, archive, "ML")
    next_revision(node, reception)
    node.engine.score = 0.9
    with_profile(node, "ohif")
    next_revision(node, reception)

    assert dangling(archive) == []
