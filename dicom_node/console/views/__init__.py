"""The views of the console; a further one is a module with `routes` and `ENTRY`, listed here."""

from typing import Final

from dicom_node.console.views import (
    audit,
    destinations,
    drift,
    failures,
    now,
    oidc,
    pauses,
    rules,
    settings,
    sign_in,
    studies,
    study,
    workers,
)

IN_THE_BAR: Final = (
    now,
    studies,
    failures,
    destinations,
    workers,
    pauses,
    drift,
    rules,
    settings,
    audit,
)
"""Views that every page leads to, in this order."""

ENTRIES: Final = tuple(view.ENTRY for view in IN_THE_BAR)
VIEWS: Final = (sign_in, oidc, *IN_THE_BAR, study)
