"""What an HTTP status says of what was sent: taken, to be sent again later, or refused."""

from typing import Final

from dicom_node.send.outcome import Outcome

CREDENTIALS: Final = frozenset({401, 403, 407})
"""HTTP statuses of wrong or expired credentials, which a person at the site puts right."""

_WRONG_PLACE: Final = frozenset({404, 405, 410, 421, 501})
"""HTTP statuses of a server that takes nothing there: of the settings, and not of the object."""

_TRY_LATER: Final = frozenset({408, 423, 425, 429}) | CREDENTIALS | _WRONG_PLACE
"""HTTP statuses of the sender's errors that may pass, unlike 413, a too large object."""

_OF_THE_SENDER: Final = range(400, 500)
"""HTTP statuses that blame the request; 5xx blame the server (RFC 9110 15.6): 507 is full."""


def outcome_of_status(status: int) -> tuple[Outcome, str]:
    """Return the outcome of a request, and its status in words with what to check."""
    words = f"HTTP {status}"
    if 200 <= status < 300:
        return Outcome.ACCEPTED, words
    if status in CREDENTIALS:
        words += " (check the credentials under [[destinations]])"
    elif status in _WRONG_PLACE:
        words += " (nothing is stored at that address: check url under [[destinations]])"
    elif not 400 <= status < 600:
        words += (
            " (no archive answers so: check url under [[destinations]], and what stands before)"
        )
    is_refused = status in _OF_THE_SENDER and status not in _TRY_LATER
    return (Outcome.REFUSED if is_refused else Outcome.POSTPONED), words
