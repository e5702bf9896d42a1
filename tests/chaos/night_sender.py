"""A scanner in a night: it sends studies of several kinds, and some of them corrected."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from plain_sender import plain_sender
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from simulated.simulated_model import DEADLY
from unit.dicom_node.node_factory import FOR_PRESENTATION, encoded
from unit.worker.worker_factory import shown_mammogram


class Kind(StrEnum):
    """What a study is like."""

    SOUND = "sound"
    URGENT = "urgent"
    CORRECTED = "corrected"
    """Sent again some studies later, for another patient."""
    UNREADABLE = "unreadable"
    DEADLY = "deadly"
    """Kills whatever decodes it."""


POISON = frozenset({Kind.UNREADABLE, Kind.DEADLY})
"""Studies that nobody can analyse."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A study that the node has answered success to.

    Attributes
    ----------
    patient_id : the one that the node was told last
    """

    kind: Kind
    patient_id: str


PATIENT_IDS = ("NIGHT-", "Klarname")
"""What every patient of a night is told by, and what one is called after a correction."""


def study(number: int, kind: str, priority: str = "") -> Dataset:
    """Return the one image of a study."""
    uid = f"1.2.826.0.1.3680043.8.498.9.{number}"
    dataset = shown_mammogram(
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}{DEADLY}" if kind == Kind.DEADLY else f"{uid}.1.1",
        PatientID=f"NIGHT-{number}",
        RequestedProcedurePriority="STAT" if kind == Kind.URGENT else priority,
    )
    if kind == Kind.UNREADABLE:
        dataset.PixelData = dataset.PixelData[:100]
    return dataset


def corrected(dataset: Dataset) -> Dataset:
    """Return an image with the identity that its patient turned out to have."""
    dataset.PatientID = f"{dataset.PatientID}-CORRECTED"
    dataset.PatientName = "Klarname^Ottilie"
    return dataset


class Sender(threading.Thread):
    """A scanner that sends one study after the other, each until the node has answered success.

    Attributes
    ----------
    sent : what was answered success to, by its Study Instance UID
    """

    def __init__(
        self,
        port: int,
        kinds: Sequence[str],
        pause: float,
        *,
        first: int = 0,
        priority: str = "",
        corrects_after: int = 1,
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self._port, self._pause = port, pause
        self._studies = list(enumerate(kinds, first))
        self._priority, self._corrects_after = priority, corrects_after
        self.sent: dict[str, Sent] = {}
        self.is_over = threading.Event()

    def run(self) -> None:
        to_correct: list[tuple[int, int]] = []
        for number, kind in self._studies:
            self._send(study(number, kind, self._priority), kind)
            if kind == Kind.CORRECTED:
                to_correct.append((number + self._corrects_after, number))
            while to_correct and to_correct[0][0] <= number:
                self._correct(to_correct.pop(0)[1])
            time.sleep(self._pause)
        for _, number in to_correct:
            self._correct(number)

    def _correct(self, number: int) -> None:
        self._send(corrected(study(number, Kind.CORRECTED, self._priority)), Kind.CORRECTED)

    def _send(self, dataset: Dataset, kind: str) -> None:
        while not self.is_over.is_set():
            if self._is_taken(dataset):
                sent = Sent(Kind(kind), str(dataset.PatientID))
                self.sent[str(dataset.StudyInstanceUID)] = sent
                return
            time.sleep(0.3)

    def _is_taken(self, dataset: Dataset) -> bool:
        try:
            with plain_sender(self._port, FOR_PRESENTATION, ExplicitVRLittleEndian) as sender:
                return sender.store(encoded(dataset), dataset.SOPInstanceUID.encode()) == 0x0000
        except OSError:
            return False  # no association, or it was lost: a scanner tries again
