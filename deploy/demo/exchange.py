"""What the demonstration does over DICOM: send studies to the node, ask the archive for results."""

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # entered in the module at import
    StudyRootQueryRetrieveInformationModelGet,
)

from deploy.archive import AE_TITLE as ARCHIVE_AE_TITLE
from deploy.archive import HOST
from deploy.demo.errors import DemonstrationError
from deploy.demo.mammograms import InstanceToSend, StudyToSend
from dicom_node.facts.storage_classes import RESULT_CLASSES
from dicom_node.reactor_pause import pause_exactly

CALLING_AE_TITLE = "DEMO"
NODE_AE_TITLE = "MAMMOCLIP"


def send_study(
    study: StudyToSend, port: int, host: str = HOST
) -> Iterator[tuple[InstanceToSend, str]]:
    """Send a study's files by C-STORE, each in its own transfer syntax.

    Yields
    ------
    InstanceToSend, str
        Each file after it was answered, and why the node does not have it; empty if it has.
    """
    # The stored data set goes out as it is, not decoded and encoded again.
    _config.STORE_SEND_CHUNKED_DATASET = True
    entity = AE(ae_title=CALLING_AE_TITLE)
    for context in sorted(
        {(one.sop_class_uid, one.transfer_syntax_uid) for one in study.instances}
    ):
        entity.add_requested_context(*context)
    association = entity.associate(host, port, ae_title=NODE_AE_TITLE)
    if not association.is_established:
        raise DemonstrationError(f"the node rejected the association on port {port}")
    pause_exactly(association)
    try:
        for instance in study.instances:
            yield instance, _problem_of(association, instance)
    finally:
        association.release()


def _problem_of(association: Any, instance: InstanceToSend) -> str:
    try:
        status = association.send_c_store(instance.path).get("Status")
    except (ValueError, RuntimeError) as error:
        return f"could not be sent: {error}"
    if status is None:
        return "got no response"
    return "" if status == 0x0000 else f"was refused with status 0x{status:04X}"


def fetch_results(study_instance_uid: str, port: int) -> list[Dataset]:
    """Get every result object that the archive holds of a study, by C-GET.

    Raises
    ------
    DemonstrationError
        The archive did not answer, or not with success.
    """
    received: list[Dataset] = []

    def keep(event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        received.append(dataset)
        return 0x0000

    entity = AE(ae_title=CALLING_AE_TITLE)
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    for sop_class in sorted(RESULT_CLASSES):
        entity.add_requested_context(sop_class)
    association = entity.associate(
        HOST,
        port,
        ae_title=ARCHIVE_AE_TITLE,
        ext_neg=[build_role(sop_class, scp_role=True) for sop_class in sorted(RESULT_CLASSES)],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    if not association.is_established:
        raise DemonstrationError(f"the archive rejected the association on port {port}")
    pause_exactly(association)
    try:
        _get_study(association, study_instance_uid)
    finally:
        association.release()
    return received


def _get_study(association: Any, study_instance_uid: str) -> None:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study_instance_uid
    status = None
    for answer, _ in association.send_c_get(query, StudyRootQueryRetrieveInformationModelGet):
        status = answer.get("Status")
    if status != 0x0000:
        words = "no status" if status is None else f"status 0x{status:04X}"
        raise DemonstrationError(f"the archive answered C-GET with {words}")
