"""What ``mammoclip-node receipt`` does."""

from importlib.metadata import version

from dicom_node.audit_trail import audit_head
from dicom_node.node_parts import open_spool
from dicom_node.receipts.content import receipt_entries
from dicom_node.receipts.receipt import make_receipt
from dicom_node.receipts.signature import ReceiptKey
from dicom_node.settings.settings import Settings
from dicom_node.studies.installation_key import serial_number
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.queries.reading import find_study


def receipt_of(settings: Settings, database: Database, study_instance_uid: str) -> bytes:
    """Return the signed receipt of a study.

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    SignatureError
        Nothing can be signed: the library or the key is missing.
    """
    key = ReceiptKey(open_spool(settings))
    with database.reading() as session:
        study = find_study(session, study_instance_uid)
        return make_receipt(
            receipt_entries(session, study),
            study_instance_uid=study_instance_uid,
            made_at=database.now(),
            software=version("mammoclip-dicom"),
            serial_number=settings.results.device_serial_number or serial_number(database),
            audit=audit_head(settings),
            key=key,
        )
