"""Instants as a person at this machine reads them."""

from datetime import datetime


def local_time(at: datetime | str | None, *, milliseconds: bool = False) -> str:
    """Return an instant on this machine's clock, with its zone; empty if there is none.

    Parameters
    ----------
    at : aware, or its text by ISO 8601
    """
    if not at:
        return ""
    instant = datetime.fromisoformat(at) if isinstance(at, str) else at
    here = instant.astimezone()
    fraction = f".{here.microsecond // 1000:03d}" if milliseconds else ""
    return f"{here:%Y-%m-%d %H:%M:%S}{fraction} {here:%Z}"
