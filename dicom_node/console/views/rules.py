"""The view *Rules*: what decides on a study, and a tester that decides as the node would."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import File, Form, Request, UploadFile

from dicom_node.commands.rule_trial import Journey, Trial, try_rules
from dicom_node.console.pages import Entry, page
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.errors import NodeError
from dicom_node.model_bundle import findings_of
from dicom_node.sign_in.roles import Role

routes = Routes("rules", pages=True)
ENTRY = Entry("Rules", "/rules")

Files = Annotated[list[UploadFile], File()]
_PIECE_BYTES = 2**20


@routes.get("/rules", Role.VIEWER)
def rules(request: Request) -> Any:
    """Show the rules, in their order."""
    return _shown(request, None)


@routes.post("/rules/test", Role.VIEWER)
def test(
    request: Request,
    files: Files,
    sender: Annotated[str, Form(max_length=16)] = "",
    called: Annotated[str, Form(max_length=16)] = "",
    address: Annotated[str, Form(max_length=45)] = "",
) -> Any:
    """Say which rule takes the study in some files, and why; nothing is kept."""
    return _shown(request, trials_of(site_of(request), files, journey_of(sender, called, address)))


def journey_of(sender: str, called: str, address: str) -> Journey:
    """Return how files are taken to have arrived; what is empty, they tell themselves."""
    return Journey(
        sender=sender.strip() or None,
        called=called.strip() or None,
        address=address.strip() or None,
    )


def trials_of(
    site: Site, files: Sequence[UploadFile], journey: Journey, *, at: datetime | None = None
) -> list[Trial]:
    """Decide on the studies in files as the node would.

    Parameters
    ----------
    at : when they are taken to arrive; None: now

    Raises
    ------
    NodeError
        None of the files is an object of a study.
    """
    # In the spool, as everything that is about patients, and gone at the end.
    with tempfile.TemporaryDirectory(prefix="rules-", dir=site.settings.spool) as folder:
        for number, file in enumerate(files):
            with (Path(folder) / f"{number}.dcm").open("wb") as stream:
                while piece := file.file.read(_PIECE_BYTES):
                    stream.write(piece)
        trials, _ = try_rules(
            site.settings,
            findings_of(site.settings),
            [Path(folder)],
            journey=journey,
            at=at or datetime.now(UTC),
        )
    if not trials:
        raise NodeError("none of the files is a DICOM object of a study")
    return trials


def _shown(request: Request, trials: Sequence[Trial] | None) -> Any:
    settings = site_of(request).settings
    return page(
        request,
        "rules.html",
        title="Rules",
        rules=settings.rules,
        result_rules=settings.result_rules,
        trials=trials,
    )
