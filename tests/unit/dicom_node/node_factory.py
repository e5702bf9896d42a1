"""Factories of the node's tests: data sets, objects in a spool, rows of a ledger."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom.dsutils import encode, encode_file_meta
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.image_comparison import likeness_of
from dicom_node.facts.likeness import Likeness
from dicom_node.facts.presentation_address import presentation_address
from dicom_node.receive.registration.header_process import HeaderReader
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.files.folder_markers import MARKER
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.outcomes import MadeResult
from dicom_node.studies.ledger.due.work import Claim, claim
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    Instance,
    ResultObject,
    Study,
    Transition,
)
from dicom_node.studies.own_spool import own_spool

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
LEASE = timedelta(seconds=40)

STUDY_UID = "1.2.826.0.1.3680043.8.498.77"
FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"

FAMILY_NAME, GIVEN_NAME = "Quellwasser", "Ottilie"
PATIENT_ID = "KLINIK-90817263"
BIRTH_DATE = "19470302"
SOMEBODY_ELSE = {"PatientID": "FREMD-1", "PatientName": "Anders^Wer"}
"""Another patient, by chance born on the same day."""
PATIENT_WORDS = (FAMILY_NAME, GIVEN_NAME, PATIENT_ID, BIRTH_DATE)

PREAMBLE = b"\x00" * 128 + b"DICM"

HEADERS = HeaderReader()
"""The process that reads headers, one for all tests of a run."""

_numbers = itertools.count(1)


def after(seconds: float) -> datetime:
    """Return an instant of the tests' clock."""
    return NOW + timedelta(seconds=seconds)


def mammogram(
    view: str = "MLO",
    laterality: str = "L",
    *,
    without: Iterable[str] = (),
    **attributes: Any,
) -> Dataset:
    """Return a small but whole mammogram For Presentation, of an instance of its own."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.SOPClassUID = FOR_PRESENTATION
    dataset.SOPInstanceUID = f"{STUDY_UID}.1.{next(_numbers)}"
    dataset.StudyInstanceUID = STUDY_UID
    dataset.SeriesInstanceUID = f"{STUDY_UID}.1"
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PatientName = f"{FAMILY_NAME}^{GIVEN_NAME}"
    dataset.PatientID = PATIENT_ID
    dataset.PatientBirthDate = BIRTH_DATE
    dataset.PatientSex = "F"
    dataset.ImageLaterality = laterality
    dataset.ViewPosition = view
    dataset.Rows, dataset.Columns = 4, 4
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = bytes(32)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    for keyword in without:
        del dataset[keyword]
    return dataset


def four_views(**attributes: Any) -> list[Dataset]:
    """Return the four standard views of one study."""
    return [
        mammogram(view, laterality, **attributes) for view in ("CC", "MLO") for laterality in "RL"
    ]


def coded_view(value: str, scheme: str = "SCT", *modifiers: str) -> Dataset:
    """Return an item of View Code Sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "view"
    item.ViewModifierCodeSequence = [coded_view(modifier, scheme) for modifier in modifiers]
    return item


def encoded(dataset: Dataset) -> bytes:
    """Return a data set as Explicit VR Little Endian, without file meta information."""
    content = encode(dataset, False, True)
    assert content is not None
    return content


def put(
    spool: Spool,
    content: Dataset | bytes,
    *,
    sop_instance_uid: str | None = None,
    sop_class_uid: str | None = None,
    transfer_syntax: str = ExplicitVRLittleEndian,
    calling_ae_title: str = "SCANNER",
    association: str = "a" * 16,
    address: str = "",
) -> Receipt:
    """Put an object into ``incoming`` as the listener does; UIDs are those of the command set."""
    meta = FileMetaDataset()
    told = content if isinstance(content, Dataset) else Dataset()
    meta.MediaStorageSOPClassUID = sop_class_uid or told.get("SOPClassUID", FOR_PRESENTATION)
    uid = sop_instance_uid or told.get("SOPInstanceUID") or f"{STUDY_UID}.9"
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID("1.2.3.4")
    meta.SendingApplicationEntityTitle = calling_ae_title
    if address:
        meta.SourcePresentationAddress = presentation_address(address)
    receipt = spool.receipts.new(association)
    body = encoded(content) if isinstance(content, Dataset) else content
    spool.keep([PREAMBLE, encode_file_meta(meta), body], receipt)
    return receipt


@dataclass
class Reception:
    """A real spool, a real ledger and the registrar between them."""

    spool: Spool
    database: Database
    settings: ReceiveSettings = field(default_factory=ReceiveSettings)
    takes_tomosynthesis: bool = False
    compare: Callable[[Path | None, Path], Likeness] = likeness_of
    """In this process, which costs no start of another for each of the tests."""

    @property
    def registrar(self) -> Registrar:
        return Registrar(
            self.spool,
            self.database,
            self.settings,
            clock=lambda: NOW,
            takes_tomosynthesis=self.takes_tomosynthesis,
            headers=HEADERS,
            compare=self.compare,
        )

    def receive(self, content: Dataset | bytes, **journey: Any) -> Instance | None:
        """Put an object into the spool, register it, and return its row if it has one."""
        receipt = put(self.spool, content, **journey)
        self.registrar.register_all()
        with self.database.reading() as session:
            query = select(Instance).where(Instance.receipt == str(receipt))
            return session.scalars(query).first()

    def instances(self) -> list[Instance]:
        return self.rows(Instance)

    def study(self, study_instance_uid: str = STUDY_UID) -> Study:
        with self.database.reading() as session:
            query = select(Study).where(Study.study_instance_uid == study_instance_uid)
            return session.scalars(query).one()

    def rows(self, table: type[Any]) -> list[Any]:
        with self.database.reading() as session:
            return list(session.scalars(select(table).order_by(table.id)))

    def files(self, folder: str) -> list[Path]:
        """Return the files in a folder of the spool but for its marker."""
        found = (self.spool.root / folder).rglob("*")
        return sorted(path for path in found if path.is_file() and path.name != MARKER)


def second_node(first: Reception, folder: Path) -> Reception:
    """Return another node before the ledger of the first one, with the key of the installation."""
    own_spool(first.spool, first.database)
    key = installation_key(first.spool, first.database)
    second = Reception(Spool(folder), first.database)
    own_spool(second.spool, second.database)
    (folder / "identity.key").write_bytes(key)
    return second


def study_row(session: Session, uid: str = STUDY_UID, **columns: Any) -> Study:
    """Enter a settled study of one revision."""
    values = {
        "study_instance_uid": uid,
        "state": StudyState.SETTLED,
        "version": 0,
        "patient_digest": "",
        "revision": 1,
        "remark": "",
        "first_received_at": NOW,
        "last_received_at": NOW,
        **columns,
    }
    return _added(session, Study(**values))


def instance_row(
    session: Session, study: Study | None, view: str = "MLO", laterality: str = "L", **columns: Any
) -> Instance:
    """Enter a registered instance."""
    number = next(_numbers)
    receipt = Receipt(number, "b" * 16, "0" * 8)
    values = {
        "receipt": str(receipt),
        "study_id": None if study is None else study.id,
        "state": InstanceState.REGISTERED,
        "version": 0,
        "place": f"studies/{number}.dcm",
        "association": receipt.association,
        "received_at": NOW,
        "sop_instance_uid": f"{STUDY_UID}.2.{number}",
        "sop_class_uid": FOR_PRESENTATION,
        "laterality": laterality,
        "view_position": view,
        "presentation_intent": "FOR PRESENTATION",
        **columns,
    }
    return _added(session, Instance(**values))


def analysis_row(session: Session, study: Study, **columns: Any) -> Analysis:
    """Enter an analysis that is due."""
    values = {
        "study_id": study.id,
        "revision": 1,
        "state": AnalysisState.DUE,
        "version": 0,
        "attempts": 0,
        "due_at": NOW,
        "created_at": NOW,
        "lease_holder": "",
        "reason": "",
        "bundle": "",
        **columns,
    }
    return _added(session, Analysis(**values))


def delivery_row(session: Session, analysis: Analysis, **columns: Any) -> Delivery:
    """Enter a delivery that is due."""
    values = {
        "analysis_id": analysis.id,
        "destination": "archive",
        "state": DeliveryState.DUE,
        "version": 0,
        "attempts": 0,
        "due_at": NOW,
        "created_at": NOW,
        "lease_holder": "",
        "reason": "",
        **columns,
    }
    return _added(session, Delivery(**values))


def result_row(session: Session, analysis: Analysis, **columns: Any) -> ResultObject:
    """Enter a result object of an analysis."""
    number = next(_numbers)
    values = {
        "analysis_id": analysis.id,
        "kind": "measurement_report",
        "variant": "",
        "sop_class_uid": COMPREHENSIVE_SR,
        "sop_instance_uid": f"{STUDY_UID}.3.{number}",
        "series_instance_uid": f"{STUDY_UID}.3",
        "place": f"results/{number}.dcm",
        **columns,
    }
    return _added(session, ResultObject(**values))


def made_result(**changes: Any) -> MadeResult:
    """Return a result object as an analysis hands it to the ledger."""
    number = next(_numbers)
    values = {
        "kind": "measurement_report",
        "sop_class_uid": COMPREHENSIVE_SR,
        "sop_instance_uid": f"{STUDY_UID}.4.{number}",
        "series_instance_uid": f"{STUDY_UID}.4",
        "place": f"results/{number}.dcm",
        **changes,
    }
    return MadeResult(**values)


def claimed(
    session: Session, work: Analysis | Delivery, *, holder: str = "host:1", at: datetime = NOW
) -> Claim:
    """Claim a piece of work that is due."""
    taken = claim(session, type(work), work.id, holder=holder, lease=LEASE, at=at)
    assert taken is not None, "the work is due"
    return taken[0]


def finished(
    session: Session, analysis: Analysis, *results: MadeResult, to: Iterable[str] = ("archive",)
) -> list[Delivery]:
    """Claim an analysis and finish it with results."""
    return outcomes.finish_analysis(
        session,
        claimed(session, analysis),
        findings="{}",
        bundle="stand-in 1 00",
        results=results,
        destinations=list(to),
        at=NOW,
    )


def history(session: Session, subject: str) -> Iterator[tuple[str, str, str]]:
    """Yield (before, event, after) of everything that befell one kind of thing."""
    query = select(Transition).where(Transition.subject == subject).order_by(Transition.id)
    for row in session.scalars(query):
        yield row.before, row.event, row.after


def _added(session: Session, row: Any) -> Any:
    session.add(row)
    session.flush()
    return row
