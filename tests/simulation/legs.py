"""The legs of a study's way: a short schedule plays one of them, from where another one left off.

A leg begins with the ledger, the spool and the messages that a site had at that point, all of whose
processes were killed there; they are started anew. Of the node only those threads run that the leg
needs: a schedule of the whole way has all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from schedule import BEGINS_AT
from simulated_broker import Message
from stand_in_work import Image


@dataclass(frozen=True)
class Leg:
    """What runs in a schedule, and when it is over.

    Attributes
    ----------
    threads : those of the node that run; empty for all of them
    left : an SQL expression of how many things are not at their end yet
    analysis : the state of each study's newest analysis at the end; empty if it has none yet
    delivery : the states that deliveries may have at the end
    workers : whether they run
    """

    name: str
    left: str
    threads: frozenset[str] = frozenset()
    analysis: str = "done"
    delivery: frozenset[str] = frozenset({"accepted"})
    workers: bool = True

    @property
    def is_to_the_end(self) -> bool:
        """Return whether archives have every result at its end."""
        return self.analysis == "done" and self.delivery == {"accepted"}


_UNREGISTERED = "(SELECT count(*) FROM instances WHERE state = 'received')"
_OPEN = "(SELECT count(*) FROM studies WHERE state = 'open')"
_UNANALYSED = "(SELECT count(*) FROM analyses WHERE state IN ('due', 'running'))"
_UNDELIVERED = "(SELECT count(*) FROM deliveries WHERE state IN ('due', 'sending'))"

WHOLE_WAY = Leg("whole way", " + ".join((_OPEN, _UNREGISTERED, _UNANALYSED, _UNDELIVERED)))
RECEPTION = Leg(
    "reception", _UNREGISTERED, threads=frozenset({"registrar"}), analysis="", workers=False
)
SETTLING = Leg(
    "settling",
    f"{_UNREGISTERED} + {_OPEN}",
    threads=frozenset({"registrar", "settling"}),
    analysis="due",
    workers=False,
)
ANALYSIS = Leg(
    "analysis",
    _UNANALYSED,
    threads=frozenset({"registrar", "dispatch"}),
    delivery=frozenset({"due", "sending", "accepted"}),
)
DELIVERY = Leg("delivery", _UNDELIVERED, threads=frozenset({"registrar", "dispatch"}))
LEGS = (RECEPTION, SETTLING, ANALYSIS, DELIVERY)


@dataclass(frozen=True)
class Beginning:
    """Where a leg begins.

    Attributes
    ----------
    files : of the spool, by their path in it
    statements : enter in an empty ledger what it holds then
    at : simulated seconds since 1970
    """

    files: dict[str, bytes]
    statements: Sequence[str] = ()
    at: float = BEGINS_AT
    messages: Sequence[Message] = ()
    acknowledged: dict[str, list[Image]] = field(default_factory=dict)


REACHED = {
    SETTLING: "SELECT count(*) FROM studies WHERE state = 'open' AND NOT EXISTS "
    "(SELECT 1 FROM instances WHERE state = 'received')",
    ANALYSIS: "SELECT count(*) FROM analyses WHERE state = 'due' AND dispatched_at IS NOT NULL",
    DELIVERY: "SELECT count(*) FROM deliveries WHERE state = 'due' AND dispatched_at IS NOT NULL",
}
"""By which question a site knows that a leg may begin."""
