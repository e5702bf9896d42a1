"""The process of the console: python -m dicom_node.console.web_process DESCRIPTOR."""

import time
from typing import TYPE_CHECKING, Final

from dicom_node.console.application import application_of
from dicom_node.console.site import Site
from dicom_node.errors import SettingsError
from dicom_node.pictures import Pictures
from dicom_node.receive.files.file_intake import prepare_spool
from dicom_node.serving.http_process import Bounds, order_of_the_node, serve
from dicom_node.settings.settings import Settings
from dicom_node.sign_in.attempts import Attempts
from dicom_node.sign_in.provider.begun import BegunSignIns
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database

if TYPE_CHECKING:
    from dicom_node.sign_in.provider.provider import Provider

MAXIMUM_MEMORY_BYTES: Final = 3 * 2**30
"""Data of the process; a request that needs more fails."""


def main() -> None:
    """Serve until the node ends this process."""
    settings: Settings = order_of_the_node(memory_bytes=MAXIMUM_MEMORY_BYTES)
    spool = Spool(settings.spool, minimum_free_bytes=settings.receive.minimum_free_bytes)
    prepare_spool(spool)
    site = Site(
        settings=settings,
        database=Database(settings.ledger_url),
        spool=spool,
        attempts=Attempts(time.monotonic),
        pictures=Pictures(),
        begun_sign_ins=BegunSignIns(time.monotonic),
        provider=_provider_of(settings),
    )
    console = settings.console
    serve(
        application_of(site),
        Bounds(
            tls=settings.tls if console.tls else None,
            maximum_connections=console.maximum_connections,
            request_timeout_seconds=settings.receive.request_timeout_seconds,
        ),
    )


def _provider_of(settings: Settings) -> "Provider | None":
    if not settings.console.oidc.is_offered:
        return None
    try:
        from dicom_node.sign_in.provider.provider import Provider
    except ImportError as error:
        raise SettingsError(
            "[console.oidc] needs the library Authlib, which is not installed: "
            "install the extra 'oidc' (pip install '.[oidc]' in the project's folder)"
        ) from error
    return Provider(settings.console.oidc, settings.tls)


if __name__ == "__main__":
    main()
