"""The checks of ``mammoclip-node check``; none changes anything."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import requests
from pydicom.uid import UID
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # entered at import
    Verification,
)

from dicom_node.errors import DestinationDownError, NodeError
from dicom_node.model_bundle import pass_licence_gate
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.settings.destinations import DicomDestination, DicomwebDestination
from dicom_node.settings.settings import Settings
from dicom_node.spool.private_files import is_open_to_others
from dicom_node.studies.dispatch import GPU_QUEUE, Broker
from dicom_node.studies.ledger.database import Database


def run_checks(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Yield each check's name, and its problem or None."""
    yield "settings", None
    yield _tried("bundle and its terms", lambda: pass_licence_gate(settings.model))
    yield _tried(f"spool {settings.spool}", lambda: _check_spool(settings))
    yield _tried("ledger", lambda: _check_ledger(settings))
    broker = Broker(settings.broker.url.get_secret_value())
    yield _tried("broker", lambda: broker.waiting(GPU_QUEUE))
    for destination in settings.destinations:
        name = f"destination {destination.name}"
        yield _tried(name, lambda: _check_destination(settings, destination))  # noqa: B023  called at once


def _tried(name: str, attempt: Callable[[], Any]) -> tuple[str, str | None]:
    try:
        attempt()
    except (NodeError, OSError) as error:
        return name, str(error)
    return name, None


def _check_spool(settings: Settings) -> None:
    folder = settings.spool
    if folder.exists() and is_open_to_others(folder):
        raise NodeError(
            f"other users can enter {folder}: 'mammoclip-node serve' closes it when it starts, "
            f"or run: chmod 700 {folder}"
        )
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise NodeError(
            f"{folder} cannot be written by this user: change its owner, or set another spool"
        )
    free = shutil.disk_usage(folder).free
    if free < settings.receive.minimum_free_bytes:
        raise NodeError(
            f"{free} bytes free in {folder}, less than receive.minimum_free_bytes "
            f"({settings.receive.minimum_free_bytes})"
        )


def _check_ledger(settings: Settings) -> None:
    database = Database(settings.ledger_url)
    try:
        database.has_tables()
    finally:
        database.close()


def _check_destination(
    settings: Settings, destination: DicomDestination | DicomwebDestination
) -> None:
    if isinstance(destination, DicomwebDestination):
        url = f"{destination.url.rstrip('/')}/studies?limit=1"
        auth = None
        if destination.username is not None and destination.password is not None:
            auth = (destination.username, destination.password.get_secret_value())
        try:
            answer = requests.get(url, timeout=destination.timeout_seconds, auth=auth)
        except requests.RequestException as error:
            raise DestinationDownError(
                f"does not answer: {type(error).__name__}. "
                "Check that it is running, and url under [[destinations]]."
            ) from error
        if not answer.ok:
            raise DestinationDownError(
                f"answered a search for studies with HTTP {answer.status_code}. "
                "Check url, username and password under [[destinations]]."
            )
        return
    # Imported here: what objects look like takes highdicom, which a node starts without.
    from dicom_node.destination_profiles import presentation_contexts_of, profile_named

    wanted = presentation_contexts_of(profile_named(destination.profile, settings))
    verification = {(str(Verification), syntax) for syntax in UNCOMPRESSED}
    association = associate(destination, settings.receive.ae_title, wanted | verification)
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
