"""Archives are asked by C-FIND which objects they hold; only what they say counts."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from archive import destination
from hostile import after_association, sends, sends_without_end, serving
from proving_archive import ProvingArchive, answer
from pydicom.dataset import Dataset

from dicom_node.errors import DestinationDownError, NotOfferedError
from dicom_node.send.asking import ObjectToFind
from dicom_node.send.destinations import asker_for

Answers = Iterator[tuple[int, Dataset | None]]

pytestmark = pytest.mark.timeout(60)


def to_find(key: int) -> ObjectToFind:
    return ObjectToFind(
        key=key,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        sop_instance_uid=f"1.2.3.{key}",
        series_instance_uid="1.2.3",
        study_instance_uid="1.2",
    )


OBJECTS = [to_find(1), to_find(2)]


@pytest.fixture
def archive_with() -> Iterator[Callable[..., ProvingArchive]]:
    archives: list[ProvingArchive] = []

    def start(**behaviour: Any) -> ProvingArchive:
        archives.append(ProvingArchive(**behaviour).start())
        return archives[-1]

    yield start
    for archive in archives:
        archive.stop()


def ask(port: int, **changes: Any) -> list[bool]:
    asker = asker_for(destination(port, **changes), calling_ae_title="MAMMOCLIP")
    return [found.is_held for found in asker.ask(OBJECTS)]


def test_held_object_is_found_and_another_is_not(
    archive_with: Callable[..., ProvingArchive],
) -> None:
    archive = archive_with(held={"1.2.3.1": ""})

    assert ask(archive.port) == [True, False]
    assert archive.associations == 1
    keys = ("QueryRetrieveLevel", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    assert [archive.asked[0].get(key) for key in keys] == ["IMAGE", "1.2", "1.2.3", "1.2.3.1"]


def lists_another(archive: ProvingArchive, _asked: Dataset) -> Answers:
    yield 0xFF00, answer("1.2.3.9")


def lists_the_series(archive: ProvingArchive, _asked: Dataset) -> Answers:
    for key in range(1, 20):
        yield 0xFF00, answer(f"1.2.3.{key}")


def warns_of_a_key(archive: ProvingArchive, asked: Dataset) -> Answers:
    yield 0xFF01, answer(str(asked.SOPInstanceUID))


def names_nothing(archive: ProvingArchive, _asked: Dataset) -> Answers:
    nameless = Dataset()
    nameless.QueryRetrieveLevel = "IMAGE"
    yield 0xFF00, nameless


@pytest.mark.parametrize(
    ("find", "held"),
    [
        (lists_another, False),
        (lists_the_series, True),
        (warns_of_a_key, True),
        (names_nothing, False),
    ],
)
def test_answer_counts_for_the_object_that_it_names(
    archive_with: Callable[..., ProvingArchive], find: Callable[..., Answers], held: bool
) -> None:
    assert ask(archive_with(find=find).port) == [held, held]


def shows_it_in_another_study(archive: ProvingArchive, asked: Dataset) -> Answers:
    found = answer(str(asked.SOPInstanceUID))
    found.StudyInstanceUID = "9.9"
    yield 0xFF00, found


def test_object_in_another_study_is_not_held_where_it_was_sent(
    archive_with: Callable[..., ProvingArchive],
) -> None:
    port = archive_with(find=shows_it_in_another_study).port
    asker = asker_for(destination(port), calling_ae_title="MAMMOCLIP")

    assert [(one.is_held, one.is_elsewhere) for one in asker.ask(OBJECTS)] == [(False, True)] * 2


def fails(archive: ProvingArchive, _asked: Dataset) -> Answers:
    yield 0xA900, None


def answers_without_end(archive: ProvingArchive, _asked: Dataset) -> Answers:
    while True:
        yield 0xFF00, answer("1.2.3.9")


@pytest.mark.parametrize(
    ("find", "words"), [(fails, "C-FIND with 0xA900"), (answers_without_end, "without end")]
)
def test_answer_from_which_nothing_follows_is_no_proof_of_absence(
    archive_with: Callable[..., ProvingArchive], find: Callable[..., Answers], words: str
) -> None:
    with pytest.raises(DestinationDownError, match=words):
        ask(archive_with(find=find).port)


def test_archive_without_c_find_is_told_apart(archive_with: Callable[..., ProvingArchive]) -> None:
    with pytest.raises(NotOfferedError, match="archive does not offer C-FIND"):
        ask(archive_with(finds=False).port)


@pytest.mark.parametrize("script", [sends(b""), sends_without_end(b"", b"\x04\x00" * 4096)])
def test_archive_that_does_not_end_its_answer_is_left_in_time(script: Any) -> None:
    with (
        serving(after_association(script)) as port,
        pytest.raises(DestinationDownError),
    ):
        ask(port, timeout_seconds=0.4, exchange_seconds=0.8)
