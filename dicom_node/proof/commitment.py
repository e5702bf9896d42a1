"""Has a destination asked for storage commitment of the objects of some deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydicom.uid import generate_uid

from dicom_node.errors import DestinationDownError, NotOfferedError, OutOfResourcesError
from dicom_node.proof.verdicts import Judge, Word
from dicom_node.send.asking import ObjectToFind
from dicom_node.send.commitment import STAYS_SECONDS, CommitmentAsker, CommitmentQuestion
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.spool.messages.reports import Report, Reports
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.proof.archive_requests import end_expired, end_request, open_request
from dicom_node.studies.ledger.proof.proofs import ProofClaim
from dicom_node.studies.ledger.states import DeliveryState

_SUCCESS = 0x0000
_RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True, slots=True)
class CommitmentRound:
    """Asks one destination for storage commitment, each delivery in a transaction of its own.

    Attributes
    ----------
    stays_seconds : how long an association stays open for a report over the same one
    """

    destination: DicomDestination
    settings: Settings
    reports: Reports
    judge: Judge
    stays_seconds: float = STAYS_SECONDS

    def ask(self, claims: Sequence[ProofClaim]) -> None:
        """Ask, and record what an archive that does not take a request says.

        Raises
        ------
        NotOfferedError
            The destination does not offer storage commitment; nothing is recorded of it.
        """
        questions = {self._open(held): held for held in claims if held.objects}
        for held in claims:
            if not held.objects:  # a study without a region, to who is sent regions alone
                self.judge.settle(held, no_word(""))
        if not questions:
            return
        asker = CommitmentAsker(
            self.destination,
            calling_ae_title=self.settings.receive.ae_title,
            take_report=self._take,
            tls=self.settings.tls,
            stays_seconds=self.stays_seconds,
        )
        answered: set[str] = set()
        asked = [_question(uid, held) for uid, held in questions.items()]
        try:
            for uid, status in asker.ask(asked):
                answered.add(uid)
                if status != _SUCCESS:
                    trouble = f"answered N-ACTION with 0x{status:04X}"
                    self._end(uid, trouble)
                    self.judge.settle(questions[uid], no_word(trouble))
        # A request without an answer stays open: the archive may have taken it, and report.
        except DestinationDownError as error:
            for uid in questions.keys() - answered:
                self.judge.settle(questions[uid], no_word(str(error)))
        except NotOfferedError as error:
            for uid in questions.keys() - answered:
                self._end(uid, str(error))
            raise

    def _open(self, held: ProofClaim) -> str:
        # A new one each time: archives refuse a transaction that they know, or answer it not.
        uid = str(generate_uid(prefix=None))
        with self.judge.database.writing() as session:
            at = database_time(session)
            end_expired(session, held.delivery_id, at=at)
            expires_at = at + timedelta(seconds=self.destination.commitment_seconds)
            open_request(session, held, uid, at=at, expires_at=expires_at)
        return uid

    def _end(self, uid: str, ending: str) -> None:
        with self.judge.database.writing() as session:
            end_request(session, uid, ending, at=database_time(session))

    def _take(self, transfer_syntax: str, content: bytes) -> int:
        report = Report(
            destinations=(self.destination.name,),
            calling_ae_title=self.destination.ae_title,
            address=self.destination.host,
            transfer_syntax=transfer_syntax,
            content=content,
        )
        try:
            self.reports.keep(report)
        except OutOfResourcesError:
            return _RESOURCE_LIMITATION
        return _SUCCESS


def no_word(trouble: str) -> Word:
    """Return the word of an archive that has committed nothing, and why."""
    return Word(state=DeliveryState.COMMITTED, by="storage commitment", trouble=trouble)


def _question(uid: str, held: ProofClaim) -> CommitmentQuestion:
    objects = [
        ObjectToFind(
            key=one.id,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            series_instance_uid=one.series_instance_uid,
            study_instance_uid=held.study_instance_uid,
        )
        for one in held.objects
    ]
    return CommitmentQuestion(transaction_uid=uid, objects=objects)
