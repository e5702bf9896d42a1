"""What an HTTP status says of what was sent: taken, to be sent again later, or refused."""

from typing import Final

from dicom_node.send.outcome import Outcome

CREDENTIALS: Final = frozenset({401, 403, 407})
"""HTTP statuses of wrong or expired credentials, which a person at the site puts right."""

_WRONG_PLACE: Final = frozenset({404, 405, 410, 421, 501})
"""HTTP statuses of a server that takes nothing there: of the settings, and not of the object."""

_TRY_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 507}) | CREDENTIALS | _WRONG_PLACE
"""HTTP statuses of errors that may pass: 507 is a full archive, unlike 413, a too large object."""


def outcome_of_status(status: int) -> tuple[Outcome, str]:
    """Return the outcome of a request, and its status in words with what to check."""
    words = f"HTTP {status}"
    if 200 <= status < 300:
        return Outcome.ACCEPTED, words
    if status in CREDENTIALS:
        words += " (check the credentials under [[destinations]])"
    elif status in _WRONG_PLACE:
        words += " (nothing is stored at that address: check url under [[destinations]])"
    return (Outcome.POSTPONED if status in _TRY_LATER else Outcome.REFUSED), words
