"""Fills a ledger with years of finished studies, by the database itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom.dsutils import encode, encode_file_meta
from sqlalchemy import Connection, text

from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database

IMAGES: Final = 4
"""Of each study."""

_NUMBERS: Final = {
    "postgresql": "SELECT n FROM generate_series({first}, {last}) AS s(n)",
    "sqlite": (
        "WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) "
        "SELECT n FROM s"
    ),
}
_PORTION: Final = 50_000
"""Studies of one transaction."""

_AT: Final = "'2025-06-01 12:00:00.000000'"
_FINDINGS: Final = '{"images": [{"status": "analysed"}]}'

_STATEMENTS: Final = (
    """INSERT INTO studies (id, study_instance_uid, state, version, patient_digest, revision,
        remark, first_received_at, last_received_at)
    SELECT n, '1.2.826.0.1.3680043.8.498.9.' || n, 'settled', 6, '', 1, '', {at}, {at}
    FROM ({numbers}) AS numbers""",
    """INSERT INTO instances (id, receipt, study_id, state, version, reason, detail, place,
        size_bytes, content_sha256, association, received_at, sop_instance_uid, sop_class_uid,
        series_instance_uid, laterality, view_position, presentation_intent,
        calling_ae_title, transfer_syntax_uid, left_out_reason, identifiers_id)
    SELECT n * 4 + k, 'big-' || n || '-' || k, n, 'registered', 1, '', '',
        'studies/' || n || '/' || k || '.dcm', 17000000,
        '{digest}', 'aaaaaaaaaaaaaaaa', {at}, '1.2.826.0.1.3680043.8.498.9.' || n || '.' || k,
        '1.2.840.10008.5.1.4.1.1.1.2', '1.2.826.0.1.3680043.8.498.9.' || n || '.0', 'L', 'MLO',
        'FOR PRESENTATION', 'SCANNER', '1.2.840.10008.1.2.1', '', n
    FROM ({numbers}) AS numbers, (SELECT 0 AS k UNION ALL SELECT 1 UNION ALL SELECT 2
        UNION ALL SELECT 3) AS images""",
    """INSERT INTO study_identifiers (id, study_id, digest, accession_number, patient_id,
        patient_name, birth_date, study_date, accession_key, patient_id_key, name_key)
    SELECT n, n, '' || n, 'A' || n, 'P' || n, 'BIG', '19600101', '20250601', 'a' || n, 'p' || n,
        'big'
    FROM ({numbers}) AS numbers""",
    """INSERT INTO analyses (id, study_id, revision, state, version, attempts, due_at, lease_holder,
        reason, created_at, finished_at, findings, bundle)
    SELECT n, n, 1, 'done', 2, 1, {at}, 'host:1', '', {at}, {at}, '{findings}', 'big 1 00'
    FROM ({numbers}) AS numbers""",
    """INSERT INTO result_objects (id, analysis_id, kind, variant, sop_class_uid, sop_instance_uid,
        series_instance_uid, place)
    SELECT n * 2 + k, n, 'measurement_report', '' || k, '1.2.840.10008.5.1.4.1.1.88.34',
        '2.25.' || n || '.' || k, '2.25.' || n, 'results/' || n || '/1/' || k || '.dcm'
    FROM ({numbers}) AS numbers, (SELECT 0 AS k UNION ALL SELECT 1) AS kinds""",
    """INSERT INTO deliveries (id, analysis_id, destination, state, version, attempts, due_at,
        lease_holder, reason, created_at, finished_at)
    SELECT n, n, 'archive', 'accepted', 2, 1, {at}, 'host:1', '', {at}, {at}
    FROM ({numbers}) AS numbers""",
    """INSERT INTO delivery_outcomes (delivery_id, result_object_id, outcome, status, at)
    SELECT n, n * 2 + k, 'accepted', '0x0000', {at}
    FROM ({numbers}) AS numbers, (SELECT 0 AS k UNION ALL SELECT 1) AS kinds""",
    """INSERT INTO transitions (subject, subject_id, event, before, after, reason, at)
    SELECT 'instance', n * 4 + k / 2, 'file', 'received', 'registered', '', {at}
    FROM ({numbers}) AS numbers, (SELECT 0 AS k UNION ALL SELECT 1 UNION ALL SELECT 2
        UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6
        UNION ALL SELECT 7) AS images""",
    """INSERT INTO transitions (subject, subject_id, event, before, after, reason, at)
    SELECT subject, n, 'claim', 'due', 'running', 'attempt 1 by host:1', {at}
    FROM ({numbers}) AS numbers, (SELECT 'study' AS subject UNION ALL SELECT 'study'
        UNION ALL SELECT 'analysis' UNION ALL SELECT 'analysis' UNION ALL SELECT 'analysis'
        UNION ALL SELECT 'delivery' UNION ALL SELECT 'delivery' UNION ALL SELECT 'delivery')
        AS subjects""",
)
"""One study: 1 row, 1 of identifiers, 4 images, 1 analysis, 2 results, 1 delivery, 2 outcomes, 16
of history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a ledger was filled with.

    Attributes
    ----------
    rows : of all tables
    size_bytes : of the database, with its indexes
    """

    rows: int
    size_bytes: int


def fill(database: Database, instances: int) -> Filled:
    """Enter so many finished instances, four to a study, each study analysed and delivered."""
    dialect = database.engine.dialect.name
    studies = max(instances // IMAGES, 1)
    for first in range(1, studies + 1, _PORTION):
        last = min(first + _PORTION - 1, studies)
        numbers = _NUMBERS[dialect].format(first=first, last=last)
        with database.engine.begin() as connection, _without_limits(connection):
            for statement in _STATEMENTS:
                filled = statement.format(
                    numbers=numbers, at=_AT, digest="ab" * 32, findings=_FINDINGS
                )
                # As the driver takes it: a colon in it names no parameter.
                connection.exec_driver_sql(filled.replace("before, after", '"before", "after"'))
    _finish(database, dialect)
    size = {
        "postgresql": "SELECT pg_database_size(current_database())",
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    }
    with database.reading() as session:
        size_bytes = session.scalar(text(size[dialect])) or 0
    return Filled(rows=studies * 28, size_bytes=int(size_bytes))


@contextmanager
def _without_limits(connection: Connection) -> Iterator[None]:
    """Let statements take their time, in which a node would give its ledger up."""
    if connection.dialect.name != "postgresql":
        yield
        return
    driver: Any = connection.connection.driver_connection
    longest, driver.longest_wait = driver.longest_wait, None
    limit = connection.scalar(text("SHOW statement_timeout"))
    connection.execute(text("SET statement_timeout = 0"))
    try:
        yield
    finally:
        connection.execute(text(f"SET statement_timeout = '{limit}'"))
        driver.longest_wait = longest


def _finish(database: Database, dialect: str) -> None:
    """Let the database take note of what it holds, as it does by itself in time."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if dialect != "postgresql":
            return
        with _without_limits(connection):
            connection.execute(text("VACUUM ANALYZE"))
        for table in (
            "studies",
            "instances",
            "study_identifiers",
            "analyses",
            "result_objects",
            "deliveries",
        ):
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "
                    f"(SELECT max(id) FROM {table}))"
                )
            )


def receive(spool: Spool, study_instance_uid: str) -> None:
    """Put the four standard views of a study into the spool, as the listener does."""
    for number, (view, side) in enumerate((v, s) for v in ("CC", "MLO") for s in "RL"):
        dataset = Dataset()
        dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.2")
        dataset.SOPInstanceUID = UID(f"{study_instance_uid}.1.{number}")
        dataset.StudyInstanceUID = study_instance_uid
        dataset.SeriesInstanceUID = f"{study_instance_uid}.1"
        dataset.Modality, dataset.PatientID, dataset.PatientName = "MG", "BIG", "BIG"
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.ImageType = ["DERIVED", "PRIMARY"]
        dataset.ViewPosition, dataset.ImageLaterality = view, side
        dataset.Rows = dataset.Columns = 4
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation, dataset.PixelData = 0, bytes(32)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = UID("1.2.3.4")
        content = encode(dataset, False, True)
        assert content is not None, "it can be encoded"
        chunks = [b"\x00" * 128 + b"DICM", encode_file_meta(meta), content]
        spool.keep(chunks, spool.receipts.new("b" * 16))
