"""``make lab``: try every way with every peer, and print what came of each as two tables."""

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import structlog
from committing_archive import CommittingArchive
from lab.archives import MissingPeerError, Peer, dcmqrscp, orthanc, tiny_pacs
from lab.exchanges import BY, EXCHANGES, Exchange
from lab.site import lab_site
from lab.table import HEADINGS, HEADINGS_OF_WAYS
from lab.ways import WAYS
from ports import free_port
from rich.console import Console
from rich.table import Table

from dicom_node.settings.ways_out.destinations import DicomDestination, DicomwebDestination
from mammoclip_core.images.decoding.decoding_pool import DecodingPool

_START: Final[dict[str, Callable[[Path, int], AbstractContextManager[Peer]]]] = {
    "Orthanc": orthanc,
    "dcmqrscp": dcmqrscp,
    "tiny-pacs": tiny_pacs,
}


@contextmanager
def _peer(exchange: Exchange, folder: Path, node_port: int) -> Iterator[Peer]:
    if exchange.archive in _START:
        with _START[exchange.archive](folder, node_port) as peer:
            yield peer
        return
    behaviour = dict(exchange.behaviour)
    if "answers" in behaviour:
        behaviour["answers"] = list(behaviour["answers"])
    double = CommittingArchive(node_port=node_port, **behaviour)
    double.start()
    try:
        reports = exchange.confirm == "commitment" and double.way != "never"
        yield Peer("", double.port, has_reported=lambda: bool(double.replies) or not reports)
    finally:
        double.stop()


def _destination(exchange: Exchange, peer: Peer) -> DicomDestination | DicomwebDestination:
    settings = {"timeout_seconds": 10, **exchange.destination}
    if exchange.web:
        return DicomwebDestination(
            kind="dicomweb", name="archive", url=peer.url, confirm="query", **settings
        )
    return DicomDestination.model_validate(
        {
            "name": "archive",
            "ae_title": "ARCHIVE",
            "host": "127.0.0.1",
            "port": peer.port,
            "confirm": exchange.confirm,
            **settings,
        }
    )


def do(exchange: Exchange, decoding: DecodingPool) -> tuple[str, str, str]:
    """Do one exchange with an archive that is started for it; return version, state and reason."""
    node_port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "archive").mkdir()
        with (
            _peer(exchange, folder / "archive", node_port) as peer,
            lab_site(
                folder,
                _destination(exchange, peer),
                node_port=node_port,
                decoding=decoding,
                receive=dict(exchange.receive),
            ) as site,
        ):
            return (
                peer.version,
                *site.result(exchange.state, exchange.because, has_reported=peer.has_reported),
            )


def main() -> int:
    """Do all of them; returns 1 if any ended otherwise than the documents say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    console = Console(width=None if sys.stdout.isatty() else 200)
    wrong = _try_archives(console) + _try_ways(console)
    tried = len(EXCHANGES) + len(WAYS)
    console.print(f"{tried - wrong} of {tried} rows ended as documented")
    return int(wrong > 0)


def _try_archives(console: Console) -> int:
    shown = Table(*HEADINGS[:4], "came", "reason", "as documented")
    wrong = 0
    with DecodingPool(doubts=0) as decoding:
        for exchange in EXCHANGES:
            try:
                version, state, reason = do(exchange, decoding)
            except MissingPeerError as error:
                version, state, reason = "", "not tried", str(error)
            is_right = state == exchange.state and exchange.because in reason
            wrong += not is_right
            archive = f"{exchange.archive} {version}".strip()
            sent = exchange.cells[2]
            by, verdict = BY[exchange.confirm], "yes" if is_right else "NO"
            shown.add_row(archive, exchange.what, sent, by, state, reason, verdict)
            console.print(f"{archive}, {exchange.what or by}: {state}", style="dim")
    console.print(shown)
    return wrong


def _try_ways(console: Console) -> int:
    shown = Table(*HEADINGS_OF_WAYS[:3], "as documented")
    wrong = 0
    for way in WAYS:
        is_right = way.works()
        wrong += not is_right
        shown.add_row(*way.cells[:3], "yes" if is_right else "NO")
        console.print(f"{way.way}, {way.peer}: {'works' if is_right else 'FAILED'}", style="dim")
    console.print(shown)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
