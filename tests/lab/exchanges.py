"""What the lab tries: each row an exchange between the node and one archive, and what must come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from committing_archive import IMPLICIT
from pydicom.dataset import Dataset

BY: Final[Mapping[str, str]] = {
    "none": "nobody asks",
    "query": "C-FIND",
    "qido": "QIDO-RS",
    "commitment": "storage commitment",
    "commitment-or-query": "storage commitment, else C-FIND",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One row of the table.

    Attributes
    ----------
    archive : program, or ``double`` for one of pynetdicom that behaves as a test wants
    what : in words, what is special about it; may be empty
    confirm : how the archive is asked for proof: a key of BY
    web : whether results go by STOW-RS instead of C-STORE
    state : of the delivery in the end
    because : part of the reason that is shown then; empty where there is none
    behaviour : of a double
    destination, receive : settings of the node that differ from the default
    """

    archive: str
    confirm: str
    state: str
    what: str = ""
    because: str = ""
    web: bool = False
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    destination: Mapping[str, Any] = field(default_factory=dict)
    receive: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[str, ...]:
        """Return what the table says of it: who, how results go, how it is asked, and the end."""
        sent = "STOW-RS" if self.web else "C-STORE"
        return self.archive, self.what, sent, BY[self.confirm], self.state, self.because


def _names_others(said: Dataset) -> None:
    for item in said.ReferencedSOPSequence:
        item.ReferencedSOPInstanceUID += ".1"


def _names_another_transaction(said: Dataset) -> None:
    said.TransactionUID = "1.2.3"


def _fails_by(reason: int) -> Callable[[Dataset], None]:
    def change(said: Dataset) -> None:
        said.FailedSOPSequence = said.ReferencedSOPSequence
        said.ReferencedSOPSequence = []
        for item in said.FailedSOPSequence:
            item.FailureReason = reason

    return change


def _double(what: str, confirm: str, state: str, because: str = "", **changes: Any) -> Exchange:
    settings = {key: changes.pop(key, {}) for key in ("destination", "receive")}
    return Exchange(
        archive="double",
        what=what,
        confirm=confirm,
        state=state,
        because=because,
        behaviour=changes,
        **settings,
    )


_AT_ONCE: Final = {"confirm_within_seconds": 0.001}
_NOT_KEPT: Final = "not-kept: the destination answered with success"

EXCHANGES: Final[tuple[Exchange, ...]] = (
    Exchange(archive="Orthanc", confirm="none", state="accepted"),
    Exchange(archive="Orthanc", confirm="query", state="confirmed"),
    Exchange(archive="Orthanc", confirm="commitment", state="committed"),
    Exchange(archive="Orthanc", confirm="qido", web=True, state="confirmed"),
    Exchange(archive="dcmqrscp", confirm="query", state="confirmed"),
    Exchange(
        archive="dcmqrscp",
        confirm="commitment",
        state="accepted",
        because="does not offer storage commitment",
    ),
    Exchange(archive="dcmqrscp", confirm="commitment-or-query", state="confirmed"),
    Exchange(archive="tiny-pacs", confirm="query", state="confirmed"),
    Exchange(
        archive="tiny-pacs",
        what="takes the request and never reports, by a fault of its own",
        confirm="commitment-or-query",
        state="confirmed",
        destination={"commitment_seconds": 0.5},
    ),
    Exchange(
        archive="tiny-pacs",
        what="searches for instances in a series only",
        confirm="qido",
        web=True,
        state="confirmed",
    ),
    _double("reports over a new association, as dcm4che does", "commitment", "committed"),
    _double("the same without role selection", "commitment", "committed", has_role_selection=False),
    _double("reports over the same association", "commitment", "committed", way="same association"),
    _double("reports in Implicit VR", "commitment", "committed", syntax=IMPLICIT),
    _double("reports without Event Type ID", "commitment", "committed", has_event_type=False),
    _double(
        "the same over the same association",
        "commitment",
        "committed",
        has_event_type=False,
        way="same association",
    ),
    _double(
        "reports under an alias title",
        "commitment",
        "committed",
        calling="ARCHIVE2",
        destination={"commitment_ae_titles": ("ARCHIVE2",)},
    ),
    _double(
        "reports to an alias of the node",
        "commitment",
        "committed",
        called="ALIAS",
        receive={"called_ae_titles": ("ALIAS",)},
    ),
    _double(
        "answers the first request with 0x0110: another transaction",
        "commitment",
        "committed",
        answers=[0x0110],
        way="same association",
    ),
    _double(
        "reports on the second request only: time-out and another transaction",
        "commitment",
        "committed",
        unanswered=1,
        destination={"commitment_seconds": 1.0},
    ),
    _double(
        "never reports: asked by C-FIND after three transactions",
        "commitment-or-query",
        "confirmed",
        way="never",
        destination={"commitment_seconds": 0.01},
    ),
    _double(
        "reports on objects that nobody asked for",
        "commitment",
        "accepted",
        "no answer on storage commitment yet",
        change=_names_others,
    ),
    _double(
        "reports on a transaction that nobody opened",
        "commitment",
        "accepted",
        "no answer on storage commitment yet",
        change=_names_another_transaction,
    ),
    _double(
        "fails all by 0x0213",
        "commitment",
        "accepted",
        "not committed: resource limitation (0x0213)",
        change=_fails_by(0x0213),
    ),
    _double(
        "answers 0x0000 and keeps nothing",
        "query",
        "refused",
        _NOT_KEPT,
        keeps=False,
        destination=_AT_ONCE,
    ),
    _double(
        "answers 0x0000, keeps nothing, and says so when asked",
        "commitment",
        "refused",
        _NOT_KEPT,
        keeps=False,
        way="same association",
        destination=_AT_ONCE,
    ),
)
