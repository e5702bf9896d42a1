"""The checks of ``mammoclip-node check``; none changes anything."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from pydicom.uid import UID
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # entered at import
    Verification,
)

from dicom_node.commands.checks.checked import Checked, Level
from dicom_node.commands.checks.writable import require_writable_ledger, require_writable_spool
from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError, LedgerError, NodeError
from dicom_node.model_bundle import accepted_manifest, findings_of, model_settings_of
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.send.probe import answered_status, probe
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import (
    AnyDestination,
    DicomDestination,
    DicomwebDestination,
)
from dicom_node.settings.ways_out.reporting import FhirDestination
from dicom_node.spool.draining import draining
from dicom_node.spool.files.private_files import is_open_to_others
from dicom_node.spool.object_store import ObjectStore
from dicom_node.studies.broker import Broker, broker_options
from dicom_node.studies.installation_key import require_installation_key
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.destinations.overview import causes
from dicom_node.studies.ledger.due.pauses import pauses
from dicom_node.studies.ledger.spools import nodes_in_words
from dicom_node.tls import server_context


def run_checks(settings: Settings) -> Iterator[Checked]:
    """Yield what was found of each thing that the node needs, in the order in which it does."""
    yield Checked(name="settings")
    yield _tried("bundle and its terms", lambda: accepted_manifest(settings.model))
    for name in settings.bundles:
        model, section = model_settings_of(settings, name), f"bundles.{name}"
        yield _tried(f"bundle {name} and its terms", lambda: accepted_manifest(model, section))  # noqa: B023  called at once
    if settings.rules or settings.result_rules:
        yield _tried("rules", lambda: _check_rules(settings))
    yield _tried(f"spool {settings.spool}", lambda: _check_spool(settings))
    yield _tried("ledger", lambda: _check_ledger(settings))
    if settings.store.is_on:
        yield _tried("store", lambda: ObjectStore(settings.store, "check").has("nothing"))
    yield _tried("certificates", lambda: _check_certificates(settings))
    yield _tried("broker", lambda: _check_broker(settings))
    for destination in settings.destinations:
        name = f"destination {destination.name}"
        yield _tried(name, lambda: _check_destination(settings, destination))  # noqa: B023  called at once


def notes_of(settings: Settings) -> list[str]:
    """Say what is paused and which destinations fail; nothing where the ledger is silent."""
    known = draining(settings.spool)
    drained = [] if known is None else [known.in_words()]
    return drained + _notes_of_the_ledger(settings)


def _notes_of_the_ledger(settings: Settings) -> list[str]:
    # What is wrong with the ledger, its own check has said.
    with (
        contextlib.suppress(NodeError, DATABASE_TROUBLE),
        contextlib.closing(Database(settings.ledger_url)) as database,
    ):
        if not database.has_tables():
            return []
        with database.reading() as session:
            paused = [one.in_words() for one in pauses(session)]
            return nodes_in_words(session) + paused + causes(session, settings.destination_names)
    return []


def _tried(name: str, attempt: Callable[[], Any]) -> Checked:
    try:
        attempt()
    except (NodeError, OSError) as error:
        return Checked(name=name, level=Level.CRITICAL, detail=str(error))
    return Checked(name=name)


def _check_rules(settings: Settings) -> None:
    # Imported here: a site without rules does not load their language.
    from dicom_node.routing.checking import rules_of

    rules_of(settings, findings_of(settings))


def _check_spool(settings: Settings) -> None:
    folder = settings.spool
    if folder.exists() and is_open_to_others(folder):
        raise NodeError(
            f"other users can enter {folder}: 'mammoclip-node serve' closes it when it starts, "
            f"or run: chmod 700 {folder}"
        )
    require_writable_spool(folder)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < settings.receive.minimum_free_bytes:
        raise NodeError(
            f"{free} bytes free in {folder}, less than receive.minimum_free_bytes "
            f"({settings.receive.minimum_free_bytes})"
        )


def _check_certificates(settings: Settings) -> None:
    """Read the certificates as the listener will; other accounts must not read the key."""
    key = settings.tls.private_key
    if key is not None and key.exists() and key.stat().st_mode & 0o077:
        raise NodeError(f"{key} is readable by other accounts: chmod 600 {key}")
    if settings.receive.tls:
        asks = settings.receive.require_client_certificate
        server_context(settings.tls, asks_for_certificate=asks)


def _check_ledger(settings: Settings) -> None:
    database = Database(settings.ledger_url)
    try:
        require_writable_ledger(database)
        if not database.has_tables():
            return
        database.require_schema()
        if settings.spool.is_dir():
            require_installation_key(settings.spool, database)
    finally:
        database.close()


def _check_broker(settings: Settings) -> None:
    broker = Broker(**broker_options(settings))
    # Without a ledger nothing of it can lie in the queues; what is wrong with it was said above.
    with contextlib.suppress(LedgerError):
        database = Database(settings.ledger_url)
        try:
            broker.speak_of(database.name_in_messages())
        finally:
            database.close()
    broker.check()


def _check_destination(settings: Settings, destination: AnyDestination) -> None:
    if isinstance(destination, DicomwebDestination | FhirDestination):
        status = answered_status(destination, settings.tls)
        if 300 <= status < 400:
            raise DestinationDownError(
                "redirects elsewhere. Set url under [[destinations]] to where the server is."
            )
        if status >= 400:
            what = "studies" if isinstance(destination, DicomwebDestination) else "its capabilities"
            raise DestinationDownError(
                f"answered a search for {what} with HTTP {status}. "
                "Check url and credentials under [[destinations]]."
            )
        return
    if not isinstance(destination, DicomDestination):
        # What would tell more is a message, which the receiver would keep.
        probe(destination, calling_ae_title=settings.receive.ae_title, tls=settings.tls)
        return
    # Imported here: what objects look like takes highdicom, which a node starts without.
    from dicom_node.destination_profiles import presentation_contexts_of, profile_named

    wanted = presentation_contexts_of(profile_named(destination.profile, settings))
    verification = {(str(Verification), syntax) for syntax in UNCOMPRESSED}
    with Deadline() as deadline:
        association = associate(
            destination,
            settings.receive.ae_title,
            wanted | verification,
            deadline=deadline,
            tls=settings.tls,
        )
        with deadline.within(destination.longest_seconds()):
            _check_association(association, destination, wanted)
        if deadline.passed:
            raise DestinationDownError(f"{_where(destination)}: {destination.words_for_lateness}")


def _check_association(
    association: Any, destination: DicomDestination, wanted: set[tuple[str, str]]
) -> None:
    """Raise an error if C-ECHO is not answered, or a SOP Class of the profile not accepted."""
    if not association.is_established:
        raise DestinationDownError(f"{_where(destination)} accepts neither C-ECHO nor results")
    try:
        if not any(one.abstract_syntax == Verification for one in association.accepted_contexts):
            # The library raises for a class that was not accepted, instead of answering.
            raise DestinationDownError(
                f"{_where(destination)} does not accept C-ECHO (Verification)"
            )
        if association.send_c_echo().get("Status") != 0x0000:
            raise DestinationDownError(f"{_where(destination)} does not answer C-ECHO")
        _check_contexts(association, destination, wanted)
    finally:
        association.release()


def _check_contexts(
    association: Any, destination: DicomDestination, wanted: set[tuple[str, str]]
) -> None:
    """Raise an error if a SOP Class of the profile was accepted in no transfer syntax."""
    accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
    missing = sorted({UID(sop_class).name for sop_class, _ in wanted if sop_class not in accepted})
    if missing:
        raise DestinationDownError(
            f"{_where(destination)} does not accept {', '.join(missing)}. "
            "Allow it there, or choose another profile."
        )


def _where(destination: DicomDestination) -> str:
    return f"{destination.host}:{destination.port} (AE title {destination.ae_title})"
