"""Asks an archive by C-FIND which objects it holds, in one association."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom.status import code_to_category

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError, NotOfferedError
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.send.asking import Found, ObjectToFind
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomDestination

_STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
_MOST_ANSWERS: Final = 100
"""To a question with one SOP Instance UID; some archives answer with all of its series."""


class CFindAsker:
    """A query SCU of the Study Root, at the level of single instances (PS3.4 C.6.2).

    Parameters
    ----------
    calling_ae_title : AE title
        The node's own, used unless the destination sets one.
    tls : certificates of [tls]
    """

    name = "C-FIND"

    def __init__(
        self,
        destination: DicomDestination,
        *,
        calling_ae_title: str,
        tls: TlsSettings = NO_CERTIFICATES,
    ) -> None:
        self._destination = destination
        self._calling_ae_title = destination.calling_ae_title or calling_ae_title
        self._tls = tls

    def ask(self, objects: Sequence[ObjectToFind]) -> Iterator[Found]:
        """Ask for the objects over one association; see `Asker.ask`."""
        with Deadline() as deadline:
            association = associate(
                self._destination,
                self._calling_ae_title,
                {(_STUDY_ROOT_FIND, syntax) for syntax in UNCOMPRESSED},
                deadline=deadline,
                tls=self._tls,
            )
            if not association.is_established:
                raise NotOfferedError(f"{self._destination.name} does not offer C-FIND")
            try:
                for item in objects:
                    with deadline.within(self._destination.longest_seconds()):
                        found = self._find(association, item, deadline)
                    yield found
            finally:
                with deadline.within(self._destination.timeout_seconds):
                    if association.is_established:
                        association.release()

    def _find(self, association: Any, item: ObjectToFind, deadline: Deadline) -> Found:
        is_held, is_elsewhere, count = False, False, 0
        try:
            # To its end, even once found: the next question comes over the same association.
            for status, answer in association.send_c_find(_question(item), _STUDY_ROOT_FIND):
                if "Status" not in status:
                    break
                category = code_to_category(int(status.Status))
                if category == "Success":
                    return Found(item.key, is_held, is_elsewhere and not is_held)
                if category != "Pending":
                    raise DestinationDownError(
                        f"{self._destination.name} answers C-FIND with 0x{status.Status:04X}"
                    )
                count += 1
                if _names(answer, item):
                    is_here = _is_in_study(answer, item)
                    is_held, is_elsewhere = is_held or is_here, is_elsewhere or not is_here
                if count > _MOST_ANSWERS:
                    association.abort()
                    raise DestinationDownError(
                        f"{self._destination.name} answers C-FIND for one object without end"
                    )
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            raise DestinationDownError(
                f"{self._destination.name}: the association ended before every object was asked for"
            ) from error
        if deadline.passed:
            raise DestinationDownError(
                f"{self._destination.name}: {self._destination.words_for_lateness}"
            )
        raise DestinationDownError(
            f"{self._destination.name}: the association ended without an answer to C-FIND"
        )


def _question(item: ObjectToFind) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = "IMAGE"
    asked.StudyInstanceUID = item.study_instance_uid
    asked.SeriesInstanceUID = item.series_instance_uid
    asked.SOPInstanceUID = item.sop_instance_uid
    return asked


def _names(answer: Dataset | None, item: ObjectToFind) -> bool:
    """Return whether an answer is about the object: some archives answer with others too."""
    try:
        return answer is not None and str(answer.SOPInstanceUID) == item.sop_instance_uid
    except Exception:  # noqa: BLE001  whatever a library makes of what an archive sends
        return False


def _is_in_study(answer: Dataset | None, item: ObjectToFind) -> bool:
    """Return whether an answer places the object where it was sent; many do not say."""
    try:
        said = "" if answer is None else str(answer.get("StudyInstanceUID") or "")
    except Exception:  # noqa: BLE001  whatever a library makes of what an archive sends
        return True
    return said in {"", item.study_instance_uid}
