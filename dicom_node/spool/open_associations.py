"""The open associations of all processes on a spool: a locked file for each, so none outlives."""

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError
from dicom_node.spool.names import new_association_token

_LINE_BYTES: Final = 256
_UNKNOWN: Final = "?"
_LOOKS: Final = 100


class NoPlaceError(NodeError):
    """There are as many associations as the settings allow, in all or from this address."""

    reason = "no-place"

    def __init__(self, message: str, *, of_address: bool = False) -> None:
        super().__init__(message)
        self.of_address = of_address
        """Whether only another association from this address can make room."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many associations may be open at once.

    Attributes
    ----------
    total : associations of all processes
    each_address : associations from one address
    kept_free : associations that only senders may open that have sent an object before
    """

    total: int
    each_address: int
    kept_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SentObject:
    """What is known of an object before the ledger knows it.

    Attributes
    ----------
    association : token
    study_instance_uid : str or None
        None while it is not known.
    is_coming : bool
        Whether it is not whole yet, or waits to be registered.
    since : when it began to come; once it is whole, when that was
    """

    association: str
    study_instance_uid: str | None
    is_coming: bool
    since: datetime


class Place:
    """The place of one open association; closing it, or the process' end, frees it.

    Parameters
    ----------
    holder : token and address

    Attributes
    ----------
    token : str
        Names the association in the receipts of its objects.
    """

    def __init__(self, descriptor: int, holder: str) -> None:
        self._descriptor = descriptor
        self._holder = holder
        self.token = holder.partition(" ")[0]

    def note(self, *, study_instance_uid: str | None, is_coming: bool, since_ns: int) -> None:
        """Tell all processes of the latest object of the association.

        Parameters
        ----------
        study_instance_uid : 64 characters at most
        since_ns : nanoseconds since 1970, UTC
        """
        known = study_instance_uid or _UNKNOWN
        with suppress(OSError):  # a disk that is broken refuses the object itself
            _write(self._descriptor, f"{self._holder} {known} {int(is_coming)} {since_ns}")

    def close(self) -> None:
        """Free the place."""
        os.close(self._descriptor)


class OpenAssociations:
    """The associations over which objects may still come, whichever process serves them.

    Each place is a file in `folder` that the process of an association keeps locked. The kernel
    frees the locks of a process that is killed, so nothing is left to tidy up.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = self._folder = folder
        self._limits = limits
        (folder / "known").mkdir(mode=0o700, parents=True, exist_ok=True)

    def take_place(self, address: str) -> Place:
        """Take a free place for an association from an address.

        Raises
        ------
        NoPlaceError
            The limits are reached; the message says which.
        """
        with self._alone():
            free, taken = None, []
            for number in range(self._limits.total):
                descriptor = self._open(f"{number:04d}")
                if not _lock(descriptor):
                    taken.append(_read(descriptor)[1])
                    os.close(descriptor)
                elif free is None:
                    free = descriptor
                else:
                    os.close(descriptor)
            try:
                self._require_place(address, taken)
                assert free is not None, "there are fewer associations than places"
                holder = f"{new_association_token()} {address}"
                _write(free, holder)
            except BaseException:
                if free is not None:
                    os.close(free)
                raise
            return Place(free, holder)

    def tokens(self) -> frozenset[str]:
        """Return the tokens of the open associations of all processes."""
        return frozenset(token for token, *_ in self._taken())

    def latest_objects(self) -> list[SentObject]:
        """Return the latest object of each open association of all processes that has sent one."""
        return [
            SentObject(
                association=token,
                study_instance_uid=None if study == _UNKNOWN else study,
                is_coming=is_coming == "1",
                since=datetime.fromtimestamp(int(since_ns) / 1e9, UTC),
            )
            for token, _, *objects in self._taken()
            if objects
            for study, is_coming, since_ns in [objects]
        ]

    def _taken(self) -> list[list[str]]:
        """Read the places of open associations."""
        found = []
        with self._alone():
            for file in self._folder.glob("[0-9]*"):
                descriptor = self._open(file.name)
                try:
                    if not _lock(descriptor):
                        found.append(_read(descriptor))
                finally:
                    os.close(descriptor)
        return found

    def is_known(self, address: str) -> bool:
        """Return whether an object from an address was kept before."""
        return self._known_file(address).exists()

    def remember(self, address: str) -> None:
        """Note that an object from an address was kept."""
        with suppress(OSError):  # a full disk costs the sender its privilege, not its object
            self._known_file(address).touch(mode=0o600)

    def _require_place(self, address: str, taken: list[str]) -> None:
        if taken.count(address) >= self._limits.each_address:
            raise NoPlaceError(
                f"{taken.count(address)} associations from this address are open, "
                "receive.maximum_associations_per_address",
                of_address=True,
            )
        left = self._limits.total - len(taken)
        if left <= 0:
            raise NoPlaceError(f"{len(taken)} are open, receive.maximum_associations")
        if left <= self._limits.kept_free and not self.is_known(address):
            raise NoPlaceError(
                f"{len(taken)} are open, and receive.places_for_known_senders are kept free for "
                "addresses that have sent an object before"
            )

    def _known_file(self, address: str) -> Path:
        return self._folder / "known" / address.replace("/", "_")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one thread of one process at a time look at the places."""
        descriptor = self._open("lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> int:
        return os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> list[str]:
    """Return token and address of the association that holds a place, then its latest object."""
    for _ in range(_LOOKS):
        line = os.pread(descriptor, _LINE_BYTES, 0).rstrip()
        holder, _, checksum = line.rpartition(b" ")
        if checksum == _checksum(holder):
            return holder.decode("ascii").split()
    return [_UNKNOWN, _UNKNOWN]  # a broken disk: somebody has the place


def _write(descriptor: int, holder: str) -> None:
    # Who reads meanwhile may see a part of it, and looks again: no lock is taken for each object.
    line = holder.encode("ascii")
    # Always as long: a full disk has room for what was there before.
    os.pwrite(descriptor, (line + b" " + _checksum(line)).ljust(_LINE_BYTES), 0)


def _checksum(line: bytes) -> bytes:
    return b"%08x" % zlib.crc32(line)
