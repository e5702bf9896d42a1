"""An S3 bucket: puts, gets and deletes files, each within a bounded time."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicom_node.errors import OutOfResourcesError, SettingsError
from dicom_node.settings.store import StoreSettings
from dicom_node.spool.files.private_files import create_private_file

if TYPE_CHECKING:
    from obstore.store import S3Store

_CONNECT_SECONDS: Final = "5s"
_REQUEST_SECONDS: Final = "60s"
_RETRY_FOR: Final = timedelta(seconds=20)


class StoreDownError(OutOfResourcesError):
    """The store does not answer, or refuses."""

    reason = "store-down"


class ObjectStore:
    """Files by name in a bucket; what is put is whole or not there.

    Parameters
    ----------
    folder : before every name, below the prefix of the settings

    Raises
    ------
    SettingsError
        The library for S3 is not installed.
    """

    def __init__(self, settings: StoreSettings, folder: str) -> None:
        assert settings.bucket is not None, "a store has a bucket"
        self._name = f"store {settings.endpoint or 'Amazon S3'}, bucket {settings.bucket}"
        self._store = _store(settings, f"{settings.prefix}/{folder}".strip("/"))

    def put(self, name: str, content: Path | memoryview | bytes) -> None:
        """Write a file; raises StoreDownError, or FileNotFoundError if there is none here."""
        import obstore

        if isinstance(content, Path):
            content.stat()
        with self._answering():
            obstore.put(self._store, name, content)

    def get(self, name: str, target: Path) -> None:
        """Fetch a file to a place; raises StoreDownError, or FileNotFoundError if it is gone."""
        import obstore

        partial = target.with_name(f"{target.name}.{secrets.token_hex(8)}")
        try:
            with self._answering():
                answer = obstore.get(self._store, name)
                with create_private_file(partial) as stream:
                    for chunk in answer.stream():
                        stream.write(chunk)
            partial.rename(target)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Return whether there is a file; raises StoreDownError."""
        import obstore

        try:
            with self._answering():
                obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Delete a file; one that is gone is no error. Raises StoreDownError."""
        import obstore

        with suppress(FileNotFoundError), self._answering():
            obstore.delete(self._store, name)

    def delete_below(self, folder: str) -> None:
        """Delete all files of a folder; raises StoreDownError."""
        import obstore

        with self._answering():
            names = [str(one["path"]) for part in obstore.list(self._store, folder) for one in part]
        for name in names:
            self.delete(name)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise
        # Its own words quote requests, which are long, and names.
        except (BaseError, PermissionError) as error:
            raise StoreDownError(
                f"the {self._name} does not answer or refuses ({type(error).__name__}): see that "
                "it runs, and the settings under [store]"
            ) from error


def _store(settings: StoreSettings, prefix: str) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise SettingsError(
            "[store] needs the library obstore: pip install -c constraints.txt '.[store]'"
        ) from error
    options: dict[str, Any] = {}
    if settings.endpoint is not None:
        options["endpoint"] = settings.endpoint
    if settings.access_key_id:
        options["access_key_id"] = settings.access_key_id
    if settings.secret_access_key is not None:
        options["secret_access_key"] = settings.secret_access_key.get_secret_value()
    return S3Store(
        settings.bucket,
        prefix=prefix or None,
        region=settings.region,
        client_options={
            "allow_http": (settings.endpoint or "").startswith("http://"),
            "connect_timeout": _CONNECT_SECONDS,
            "timeout": _REQUEST_SECONDS,
        },
        retry_config={"max_retries": 2, "retry_timeout": _RETRY_FOR},
        **options,
    )
