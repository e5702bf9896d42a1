"""Retrieves from an archive by C-MOVE, to the node's own listener (PS3.4 C.4.2)."""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset

from dicom_node.errors import DestinationDownError
from dicom_node.fetch.asked_for import Retrieved, Taking
from dicom_node.fetch.dicom_archive import DicomArchive, FailureStatusError
from dicom_node.fetch.found_objects import FoundObject, FoundStudy
from dicom_node.network import UNCOMPRESSED
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.spool.messages.expected_moves import ExpectedMoves

_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
_LOOK_SECONDS: Final = 0.2
_WHY_NOT_SENT: Final = (
    "it could not send, or sent what the node refused, which its log names (instance_refused)"
)


class MovingArchive(DicomArchive):
    """An archive that is searched by C-FIND, and sends to the node what it is asked for.

    The listener of the node takes what comes, from this archive and of what was asked for only;
    what of it has come is looked up afterwards, whatever the archive says.

    Parameters
    ----------
    calling_ae_title, tls : as of `DicomArchive`
    move_ae_title : AE title that the archive sends to
    root : folder of the spool
    held : returns which of some objects of a study the node has by now, registered or not
    sleep : between two looks
    """

    def __init__(
        self,
        destination: DicomDestination,
        *,
        calling_ae_title: str,
        move_ae_title: str,
        root: Path,
        held: Callable[[str, Collection[str]], Collection[str]],
        tls: TlsSettings = NO_CERTIFICATES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(destination, calling_ae_title=calling_ae_title, tls=tls)
        self._move_ae_title = move_ae_title
        self._moves = ExpectedMoves(root)
        self._held = held
        self._sleep = sleep

    def retrieve(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: Taking,
    ) -> Retrieved:
        """Have objects sent to the node, one request for each; see `DicomArchive.retrieve`."""
        del classes  # the listener takes what it takes; only what was found is asked for
        uids = [one.sop_instance_uid for one in objects]
        contexts = {(_MOVE, syntax) for syntax in UNCOMPRESSED}
        expecting = self._moves.expecting(
            uids,
            originator=self._calling_ae_title,
            archive=self._destination.ae_title,
            patient_id=study.patient_id,
            priority=intake.priority,
            is_prior=intake.is_prior,
        )
        failures: list[FailureStatusError] = []
        with expecting:
            with self._association(contexts) as (association, deadline):
                for one in objects:
                    with deadline.within(self._destination.longest_seconds(one.size_bytes)):
                        try:
                            self._move(association, study, one)
                        except FailureStatusError as error:
                            failures.append(error)  # of this object alone: the next may come
                    self._require_in_time(deadline)
            kept = self._awaited(study, uids, failed=len(failures))
        if failures and not kept:
            raise DestinationDownError(f"{failures[0]}: {_WHY_NOT_SENT}") from failures[0]
        refused = [f"{failures[0]}: {_WHY_NOT_SENT}"] if failures else []
        if len(kept) < len(uids) - len(failures):
            refused.append(
                f"the archive says that it has sent {len(uids)} objects to {self._move_ae_title}, "
                f"and {len(kept)} have come: check the node's host and port at the archive, and "
                "that the node runs and lets the archive send"
            )
        return Retrieved(kept=kept, refused=refused)

    def _move(self, association: Any, study: FoundStudy, one: FoundObject) -> None:
        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        asked.StudyInstanceUID = study.study_instance_uid
        asked.SeriesInstanceUID = one.series_instance_uid
        asked.SOPInstanceUID = one.sop_instance_uid
        answers = association.send_c_move(asked, self._move_ae_title, _MOVE)
        try:
            for _ in self._answers(answers, "C-MOVE"):
                pass
        except DestinationDownError as error:
            if "0xA801" in str(error):
                raise DestinationDownError(
                    f"{self._destination.name} does not know {self._move_ae_title} as a place to "
                    "send to (0xA801): enter the node there with its AE title, host and port"
                ) from error
            raise

    def _awaited(self, study: FoundStudy, uids: Sequence[str], *, failed: int) -> set[str]:
        """Return what has come; some archives answer before they have sent.

        Parameters
        ----------
        failed : objects that need not be waited for
        """
        until = time.monotonic() + self._destination.timeout_seconds
        kept: set[str] = set()
        while True:
            found = set(self._held(study.study_instance_uid, uids)) & set(uids)
            if len(found) > len(kept):
                until = time.monotonic() + self._destination.timeout_seconds
            kept = found
            if len(kept) >= len(set(uids)) - failed or time.monotonic() > until:
                return kept
            self._sleep(_LOOK_SECONDS)
