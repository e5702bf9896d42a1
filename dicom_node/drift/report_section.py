"""One part of the monthly report, and how it writes shares."""

from dataclasses import dataclass

from dicom_node.monitoring.agreement import Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the report.

    Attributes
    ----------
    note : what it means, or why there is nothing
    """

    title: str
    note: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def shown_share(share: Share) -> str:
    """Return a share with its interval; a dash of nothing."""
    if share.value is None:
        return "-"
    low, high = share.interval
    return f"{share.value:.1%} ({low:.1%} to {high:.1%})"
