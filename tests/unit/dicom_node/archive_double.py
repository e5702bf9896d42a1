"""An archive that answers C-FIND, C-GET and C-MOVE as a test wants, also as none should."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ports import free_port
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

from dicom_node.settings.ways_out.destinations import DicomDestination

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STORED = ("1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.1.2.1")


def stored(*images: Dataset) -> list[Dataset]:
    """Return images as an archive holds them, with their transfer syntax."""
    for image in images:
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return list(images)


Changes = Callable[[list[Dataset]], list[Dataset]]


def unchanged(answers: list[Dataset]) -> list[Dataset]:
    return answers


@dataclass
class ArchiveDouble:
    """Images that are held, and what is made of each answer."""

    images: list[Dataset]
    found: Changes = unchanged
    sent: Changes = unchanged
    port: int = field(default_factory=free_port)
    asked: list[Dataset] = field(default_factory=list)
    status_after_refusal: int | None = None
    """Status of a C-GET of which not every object that it is about was taken."""

    moves_to: int | None = None
    """Port of whoever is called MAMMOCLIP; None: nobody is known."""

    def destination(self, **options: Any) -> DicomDestination:
        return DicomDestination(
            name="pacs", ae_title="PACS", host="127.0.0.1", port=self.port, **options
        )

    @contextmanager
    def running(self) -> Iterator["ArchiveDouble"]:
        entity = AE(ae_title="PACS")
        entity.add_supported_context(FIND)
        entity.add_supported_context(GET)
        entity.add_supported_context(MOVE)
        for uid in STORED:
            entity.add_requested_context(uid, ExplicitVRLittleEndian)
        for uid in STORED:
            entity.add_supported_context(uid, ExplicitVRLittleEndian, scu_role=True, scp_role=True)
        handlers: list[Any] = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get)]
        handlers.append((evt.EVT_C_MOVE, self._move))
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            server.shutdown()

    def _matching(self, asked: Dataset) -> list[Dataset]:
        keys = (
            "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "AccessionNumber",
            "PatientID",
        )  # fmt: skip
        return [
            image
            for image in self.images
            if all(asked.get(key) in {None, "", image.get(key)} for key in keys)
        ]

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        self.asked.append(asked)
        unique = {
            "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID",
        }[asked.QueryRetrieveLevel]  # fmt: skip
        answers: dict[str, Dataset] = {}
        for image in self._matching(asked):
            answer = Dataset()
            answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
            for element in asked:
                if element.keyword in image:
                    setattr(answer, element.keyword, image[element.keyword].value)
            if "ModalitiesInStudy" in asked:
                answer.ModalitiesInStudy = sorted({one.Modality for one in self.images})
            answers[image[unique].value] = answer
        for answer in self.found(list(answers.values())):
            yield 0xFF00, answer

    def _get(self, event: evt.Event) -> Iterator[Any]:
        images = self.sent(self._matching(event.identifier))
        asked = event.identifier.SOPInstanceUID
        yield len(images) + (self.status_after_refusal is not None)
        for image in images:
            yield 0xFF00, image
        if self.status_after_refusal and asked not in {one.SOPInstanceUID for one in images}:
            yield self.status_after_refusal, None

    def _move(self, event: evt.Event) -> Iterator[Any]:
        if self.moves_to is None or event.move_destination != "MAMMOCLIP":
            yield None, None  # answered with 0xA801
            return
        images = self.sent(self._matching(event.identifier))
        yield "127.0.0.1", self.moves_to
        yield len(images)
        for image in images:
            yield 0xFF00, image
