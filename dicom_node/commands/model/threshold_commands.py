"""What ``mammoclip-node thresholds`` does."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from dicom_node.commands.account import account
from dicom_node.drift.proposing import proposals
from dicom_node.errors import NodeError
from dicom_node.model_bundle import bundle_folder
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.monitoring import threshold_sets
from mammoclip_core.manifest import read_manifest


def require_one_wish(propose: str, reference: str, accept: int, withdraw: int) -> None:
    """Raise a NodeError unless at most one thing is wanted, and all of it is given."""
    if bool(propose) + bool(accept) + bool(withdraw) > 1:
        raise NodeError("give one of --propose, --accept and --withdraw")
    if propose and not reference:
        raise NodeError("a proposal needs --reference EQUIPMENT")


def proposed(
    settings: Settings, database: Database, equipment: str, reference: str, *, by: str = ""
) -> list[str]:
    """Propose thresholds; a line for each finding.

    Parameters
    ----------
    by : who does it; by default the account of the operating system

    Raises
    ------
    NodeError
        There are too few answers of either.
    """
    manifest = read_manifest(bundle_folder(settings.model))
    known = {one.name: one.threshold for one in manifest.findings if not one.is_class_set}
    with database.writing() as session:
        found, bundle, computed = proposals(session, equipment, reference, thresholds=known)
        number = threshold_sets.propose(
            session,
            found,
            bundle,
            thresholds={one.finding: one.threshold for one in computed},
            facts={one.finding: f"{one.in_words()}; reference {reference}" for one in computed},
            by=by or account(),
            at=database_time(session),
        )
    return [
        *(one.in_words() for one in computed),
        "It assumes that both see the same patients. Nothing changes until somebody runs "
        f"'mammoclip-node thresholds --accept {number}'.",
    ]


def changed(database: Database, *, accept: int, withdraw: int, by: str = "") -> list[str]:
    """Accept or withdraw a set.

    Parameters
    ----------
    by : who does it; by default the account of the operating system

    Raises
    ------
    NodeError
        There is no such set, or it is in another state.
    """
    with database.writing() as session:
        change = threshold_sets.accept if accept else threshold_sets.withdraw
        done = change(session, accept or withdraw, by=by or account(), at=database_time(session))
    return [f"threshold set {done.number} for {done.equipment} is {done.state}"]


def listed(database: Database) -> dict[str, Any]:
    """Return all sets."""
    with database.reading() as session:
        return {"threshold_sets": [asdict(one) for one in threshold_sets.threshold_sets(session)]}


def in_words(document: dict[str, Any]) -> Iterator[str]:
    """Yield the sets in lines."""
    if not document["threshold_sets"]:
        yield "No threshold sets: all answers are judged by the bundle's own thresholds."
    for one in document["threshold_sets"]:
        yield f"{one['number']}  {one['state']} by {one['by']}  {one['equipment']}"
        for words in one["facts"].values():
            yield f"    {words}"
