"""An archive of a schedule: counts what it is sent, may be away, may lose its answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schedule import Schedule
from simulated_ledger import SimulatedDatabase

from dicom_node.errors import DestinationDownError
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome


@dataclass(frozen=True)
class Taken:
    """One object that it stored, as often as it was sent."""

    delivery_id: int
    sop_instance_uid: str
    content: bytes


class SimulatedArchive:
    """One destination; an object that it holds already it takes again, as archives do."""

    def __init__(self, name: str, schedule: Schedule, database: SimulatedDatabase) -> None:
        self.name = name
        self.taken: list[Taken] = []
        self.lost_answers = 0
        self._schedule = schedule
        self._database = database
        self._is_away_until = 0.0
        self._answers_to_lose = schedule.random.choice((0, 0, 1, 3))

    @property
    def held(self) -> dict[str, bytes]:
        """Return the content of each object by its UID."""
        return {one.sop_instance_uid: one.content for one in self.taken}

    def go_away(self, seconds: float) -> None:
        self._is_away_until = self._schedule.now + seconds

    def probe(self) -> None:
        self._schedule.step(f"probe {self.name}")
        self._require_there()

    def send(self, objects: Sequence[ObjectToSend], holder: str) -> Iterator[Answer]:
        """Take objects from a worker, and notice what it sends without need."""
        delivery_id = self._complain_of_what_is_known(objects, holder)
        for item in objects:
            self._schedule.step(f"send {item.sop_instance_uid} to {self.name}")
            self._require_there()
            try:
                content = item.file.read_bytes()
            except OSError:
                self._schedule.trouble.append(f"{item.file} is named by the ledger and gone")
                yield Answer(key=item.key, outcome=Outcome.REFUSED, status="the file is gone")
                continue
            self.taken.append(Taken(delivery_id, item.sop_instance_uid, content))
            self._schedule.step(f"answer of {self.name}")
            if self._answers_to_lose and self._schedule.random.random() < 0.4:
                self._answers_to_lose -= 1
                self.lost_answers += 1
                raise DestinationDownError("the association ended without an answer to C-STORE")
            yield Answer(key=item.key, outcome=Outcome.ACCEPTED, status="0x0000")

    def _complain_of_what_is_known(self, objects: Sequence[ObjectToSend], holder: str) -> int:
        """Say if whoever has the delivery sends what the ledger says was accepted."""
        query = (
            "SELECT d.id, d.lease_holder, d.state, o.outcome FROM deliveries d "
            "JOIN result_objects r ON r.analysis_id = d.analysis_id "
            "LEFT JOIN delivery_outcomes o ON o.delivery_id = d.id AND o.result_object_id = r.id "
            "WHERE d.destination = :name AND r.id = :id"
        )
        delivery_id = 0
        for item in objects:
            row = self._database.rows(query, name=self.name, id=item.key)[0]
            delivery_id, is_valid = row[0], (row[1], row[2]) == (holder, "sending")
            if is_valid and row[3] == "accepted":
                self._schedule.trouble.append(
                    f"doubled: {item.sop_instance_uid} is sent to {self.name} again, although the "
                    "ledger has its acceptance"
                )
        return delivery_id

    def _require_there(self) -> None:
        if self._schedule.now < self._is_away_until:
            raise DestinationDownError(f"{self.name} does not answer: simulated")
