"""Result objects are written while the next ones are made, and each is on disk before its row."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from unit.dicom_node.node_factory import mammogram

from dicom_node.errors import OutOfResourcesError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import ResultObject
from dicom_node.objects.products import Product
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.stored_spool import SeenSpool
from dicom_node.studies.ledger.due.work import Claim
from worker.analyze.kept_results import kept_results

HELD = Claim(id=7, version=2, attempt=1, holder="test")


def result() -> ResultObject:
    dataset = mammogram()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ResultObject(
        product=Product(kind=ResultKind.SECONDARY_CAPTURE),
        dataset=dataset,
        source_sop_instance_uid="",
    )


@pytest.fixture
def spool(tmp_path: Path) -> SeenSpool:
    return SeenSpool(Spool(tmp_path / "spool"), None)


def test_next_object_is_made_while_the_former_one_is_written(
    spool: SeenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_made = threading.Event()
    write = spool.keep_result

    def slow_disk(*arguments: object) -> str:
        assert is_made.wait(20), "the next object was not begun before this one was written"
        return write(*arguments)  # type: ignore[arg-type]

    def made() -> Iterator[ResultObject]:
        yield result()
        is_made.set()
        yield result()

    monkeypatch.setattr(spool, "keep_result", slow_disk)
    rows = list(kept_results(spool, HELD, {}, made()))

    assert [row.place for row in rows] == [
        "results/7/2/000-secondary_capture.dcm",
        "results/7/2/001-secondary_capture.dcm",
    ]


def test_row_of_an_object_comes_after_its_file(spool: SeenSpool) -> None:
    for row in kept_results(spool, HELD, {}, iter([result() for _ in range(4)])):
        assert spool.file(row.place).is_file()


def test_nothing_is_written_after_an_object_could_not_be_made(spool: SeenSpool) -> None:
    def made() -> Iterator[ResultObject]:
        yield result()
        yield result()
        raise OutOfResourcesError("for the test")

    with pytest.raises(OutOfResourcesError):
        list(kept_results(spool, HELD, {}, made()))

    assert not [one for one in threading.enumerate() if one.name.startswith("results")]
