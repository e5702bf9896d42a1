"""What ``mammoclip-node retry`` does, for one study and for all that ended badly."""

from dataclasses import replace

from dicom_node.destination_profiles import products_wanted_by
from dicom_node.errors import NodeError, RemovedError
from dicom_node.model_bundle import model_settings_of
from dicom_node.routing.route import DEFAULT_ROUTE, Route
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.overview import causes
from dicom_node.studies.ledger.due.pauses import Holds, Paused, pauses
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries.reading import find_study
from dicom_node.studies.operator_actions import judge_again, retry_study
from dicom_node.studies.retrying_many import retry_all, retry_destination
from dicom_node.study_routing import LedgerRouter


def retried(
    settings: Settings,
    database: Database,
    study: str | None,
    *,
    every: bool,
    reason: str,
    destination: str = "",
    bundle: str = "",
) -> list[str]:
    """Retry one study, one destination, or everything for a reason; a sentence for each.

    Raises
    ------
    NodeError
        None or several are named, or nothing can be retried.
    """
    if bundle and study is None:
        raise NodeError("--bundle chooses the bundle for one study: name it")
    if every + (study is not None) + bool(destination) != 1 or every != bool(reason):
        raise NodeError(
            "name one study, or give --destination NAME, or --all with --reason and a part of the "
            "reason that 'mammoclip-node studies' shows"
        )
    if destination:
        return _retry_destination(settings, database, destination)
    return (
        [_retry_everything(database, reason)]
        if study is None
        else _retry_one(settings, database, study, bundle)
    )


def _route_of(
    settings: Settings, database: Database, study_instance_uid: str, bundle: str
) -> Route:
    """Return what the rules say of a study now, with the bundle that an operator chooses."""
    router = LedgerRouter(settings, Spool(settings.spool))
    try:
        with database.reading() as session:
            study = find_study(session, study_instance_uid)
            decided = router.decided(session, study.id, at=database_time(session))
    finally:
        router.close()
    route = DEFAULT_ROUTE if decided is None else decided.route
    if not bundle:
        return route
    model_settings_of(settings, bundle)  # raises an error unless there is one
    shadows = tuple(one for one in route.shadows if one != bundle)
    return replace(route, bundle=bundle, shadows=shadows)


def _retry_one(
    settings: Settings, database: Database, study_instance_uid: str, bundle: str
) -> list[str]:
    """Retry one study; returns what will happen, one sentence each.

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    NodeError
        Nothing of it can be retried.
    """
    route = _route_of(settings, database, study_instance_uid, bundle)
    with database.writing() as session:
        at = database_time(session)
        done = judge_again(session, study_instance_uid, at=at)

        def wanted(name: str, profile: str) -> set[tuple[str, str]]:
            return products_wanted_by(name, settings, profile)

        try:
            done += retry_study(
                session, study_instance_uid, at=at, wanted=wanted, route=route, is_anew=bool(bundle)
            )
        except RemovedError as error:
            if not done:
                raise
            done.append(f"but {error}")
        sender = find_study(session, study_instance_uid).calling_ae_title
        paused = [
            one.in_words()
            for one in pauses(session)
            if one.name == sender or one.kind != Paused.SENDER
        ]
        paused += causes(session, settings.destination_names)
    if not done:
        raise NodeError(
            "nothing to retry: the study is still being received or analysed, is held, or "
            f"none of its images can be analysed. See 'mammoclip-node show {study_instance_uid}'"
        )
    return [*done, *(f"but {one}" for one in paused)]


def _retry_destination(settings: Settings, database: Database, name: str) -> list[str]:
    """Have a destination tried now.

    Raises
    ------
    NodeError
        It is not in the settings, or nothing waits for it.
    """
    with database.reading() as session:
        holds = Holds(pauses=pauses(session), destinations=settings.destination_names)
        held = holds.withheld(name)
    if settings.destination(name) is None:
        raise NodeError(held)
    count = retry_destination(database, name)
    if not count:
        raise NodeError(
            f"nothing to retry: no delivery waits for destination {name}. What it refused while "
            "it took others is retried by --all with --reason and a part of the reason"
        )
    done = f"{count} {'delivery' if count == 1 else 'deliveries'} to {name} due now"
    return [done, *([f"but {held}"] if held else [])]


def _retry_everything(database: Database, reason: str) -> str:
    """Retry what ended badly for a reason that contains this one; returns how much that is.

    Raises
    ------
    NodeError
        Nothing ended badly for such a reason.
    """
    retried = retry_all(database, reason)
    if not any(retried.values()):
        raise NodeError(
            f"nothing to retry: nothing failed, was refused or expired for a reason with {reason!r}"
        )
    return f"due again: {retried['analyses']} analyses, {retried['deliveries']} deliveries"
