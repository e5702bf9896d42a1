"""Text from the network that would be SQL if anyone took it for such."""

import pytest
from node_factory import STUDY_UID, Reception, mammogram
from sqlalchemy import inspect

from dicom_node.errors import NodeError, UnknownStudyError
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.queries import reading

SQL = ["'; DROP TABLE--", "' OR '1'='1", '" OR ""="', "%' --", "1;DELETE FROM x"]


@pytest.mark.parametrize("text", SQL)
@pytest.mark.parametrize(
    "keyword", ["AccessionNumber", "StudyID", "PatientID", "Manufacturer", "SeriesDescription"]
)
def test_sql_in_a_header_is_text(reception: Reception, keyword: str, text: str) -> None:
    image = reception.receive(mammogram(**{keyword: text}))

    assert image is not None
    assert reception.study().study_instance_uid == STUDY_UID
    assert "studies" in inspect(reception.database.engine).get_table_names()


@pytest.mark.parametrize("text", SQL)
def test_sql_as_an_ae_title_is_text(reception: Reception, text: str) -> None:
    image = reception.receive(mammogram(), calling_ae_title=text)

    assert image is not None
    assert len(reception.instances()) == 1


@pytest.mark.parametrize("text", [*SQL, "%", "_", f"{STUDY_UID}' --"])
def test_sql_as_a_study_is_an_unknown_study(
    reception: Reception, database: Database, text: str
) -> None:
    reception.receive(mammogram())

    with database.reading() as session, pytest.raises((UnknownStudyError, NodeError)):
        reading.find_study(session, text)

    assert len(reception.instances()) == 1
