"""After a bad night without anybody, every study is delivered once, or failed by its own fault."""

import base64
import itertools
import os
import re
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from io import BytesIO

import books
import pydicom
import pytest
from metrics_watch import MetricsWatch
from night import ACCELERATION, Night
from night_faults import all_faults_of, few_faults_of
from night_sender import PATIENT_IDS, Kind, Sender
from services import wait_for
from sqlalchemy import text
from unit.dicom_node.node_factory import PATIENT_WORDS

LONG = os.environ.get("MAMMOCLIP_CHAOS") == "long"
STUDIES = int(os.environ.get("MAMMOCLIP_CHAOS_STUDIES", "1000" if LONG else "8"))

pytestmark = pytest.mark.timeout(4 * 3600 if LONG else 600)


FIRST = {1: Kind.UNREADABLE, 2: Kind.CORRECTED, 3: Kind.DEADLY, 5: Kind.URGENT}
OF_TWENTY = {7: Kind.URGENT, 13: Kind.CORRECTED}
OF_TWO_HUNDRED = {101: Kind.UNREADABLE, 151: Kind.DEADLY}


def kind_of(number: int) -> Kind:
    """Return what the study of a number is like."""
    common = OF_TWENTY.get(number % 20, Kind.SOUND)
    return FIRST.get(number) or OF_TWO_HUNDRED.get(number % 200, common)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, bundle: object) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    site = Night(
        folder,
        bundle,  # type: ignore[arg-type]
        maximum_attempts=4 if LONG else 3,
        has_ways=LONG,
        is_accelerated=LONG,
    )
    try:
        site.start()
        yield site
    finally:
        site.stop()


def complaints(night: Night, sender: Sender) -> list[str]:
    with night._database() as database, database.reading() as session:
        ledger = books.ledger_of(session)
    return books.complaints(sender.sent, ledger, books.archive_of(night.archive))


def befall(night: Night, sender: Sender, befell: Counter[str]) -> None:
    """Let everything befall the site, and again and again while a long night lasts."""
    for round_ in itertools.count():
        for name, fault in all_faults_of(night, round_) if LONG else few_faults_of(night):
            said = time.monotonic()
            fault()
            befell[name] += 1
            if LONG:
                sys.stdout.write(
                    f"{time.strftime('%H:%M:%S')} {len(sender.sent)} studies: {name}, "
                    f"{time.monotonic() - said:.0f} s\n"
                )
                sys.stdout.flush()
            time.sleep(1)  # the night goes on a while between two of them
        if not sender.is_alive() or not LONG:
            return


@pytest.fixture(scope="module")
def scanner(night: Night) -> Sender:
    """Return the sender of the studies, before the night."""
    kinds = [kind_of(number) for number in range(STUDIES)]
    pause, lag = (1.0, 5) if LONG else (0.2, 4)
    return Sender(night.node_port, kinds, pause, corrects_after=lag)


@pytest.fixture(scope="module")
def metrics(night: Night, scanner: Sender) -> Iterator[MetricsWatch]:
    """Scrape the metrics while the night is played."""
    watch = MetricsWatch(night.config, scanner.sent, most=STUDIES)
    watch.start()
    try:
        yield watch
    finally:
        watch.is_over.set()
        watch.join()


@pytest.fixture(scope="module")
def sender(night: Night, scanner: Sender, metrics: MetricsWatch) -> Iterator[Sender]:
    """Play the night, and return the sender of its studies."""
    sender = scanner
    began, befell = time.monotonic(), Counter[str]()
    sender.start()
    try:
        befall(night, sender, befell)
        wait_for(lambda: not sender.is_alive(), seconds=120, what="all studies were taken")
        _wait_for_the_end(night, sender)
        metrics.stop()
        yield sender
    finally:
        sender.is_over.set()
        sys.stdout.write(_told(night, sender, befell, time.monotonic() - began))


def _wait_for_the_end(night: Night, sender: Sender) -> None:
    """Wait until nothing is wrong any more, or until the time is over that this may take."""
    until = time.monotonic() + (1800 if LONG else 240)
    while complaints(night, sender) and time.monotonic() < until:
        time.sleep(2 if LONG else 0.2)


def _told(night: Night, sender: Sender, befell: Counter[str], seconds: float) -> str:
    """Return what became of the night, for `pytest -s`."""
    with night._database() as database, database.reading() as session:
        ledger = books.ledger_of(session)
        most = session.scalar(text("SELECT max(attempts) FROM deliveries"))
    ends = Counter(
        f"{sender.sent[uid].kind}: {', '.join(one.state for one in analyses)}"
        for uid, analyses in ledger.items()
        if uid in sender.sent
    )
    return (
        f"{len(sender.sent)} studies in {seconds:.0f} s: {dict(ends)}\n"
        f"befell ({sum(befell.values())} of {len(befell)} kinds): {dict(befell)}\n"
        f"started again: {dict(Counter(night.started_again))}\n"
        f"attempts of a delivery, hours taken as {3600 / ACCELERATION:.0f} s: {most}\n"
    )


def test_every_study_of_a_bad_night_is_delivered_once_or_failed_by_its_own_fault(
    night: Night, sender: Sender
) -> None:
    assert len(sender.sent) == STUDIES
    assert complaints(night, sender) == []


def test_metrics_add_up_whenever_they_are_scraped_in_a_bad_night(
    sender: Sender, metrics: MetricsWatch
) -> None:
    """Received = delivered + ended without a result + in flight, and what was taken is counted."""
    assert metrics.wrong == []
    assert metrics.scrapes >= 5
    assert metrics.in_flight >= 1, "it was scraped while studies were under way"
    assert metrics.last["mammoclip_studies_received_total", ""] == len(sender.sent)


def test_night_tells_nobody_of_its_patients(night: Night, sender: Sender) -> None:
    uid, _ = a_result(night, sender, Kind.SOUND)
    logs = b"".join(one.log.read_bytes() for one in night.managed)
    queued = b"".join(file.read_bytes() for file in night.broker.data.rglob("*.aof"))
    assert uid.encode() in logs
    assert b"LPUSH" in queued

    told = logs + queued + _bodies_in(queued)
    assert [word for word in (*PATIENT_WORDS, *PATIENT_IDS) if word.encode() in told] == []


def _bodies_in(queued: bytes) -> bytes:
    """Return what the messages of a broker say, as their readers see it."""
    bodies = re.findall(rb'"body": ?"([A-Za-z0-9+/=]+)"', queued)
    assert bodies
    return b"\n".join(map(base64.b64decode, bodies))


def a_result(night: Night, sender: Sender, kind: Kind) -> tuple[str, str]:
    """Return a study of a kind, and the name that the archive has for its one result."""
    uid = next(uid for uid, one in sender.sent.items() if one.kind is kind)
    query = {"Level": "Instance", "Query": {"StudyInstanceUID": uid}}
    (key,) = night.archive.post("/tools/find", query)
    return uid, key


def test_books_of_a_night_name_a_result_that_the_archive_has_lost(
    night: Night, sender: Sender
) -> None:
    uid, key = a_result(night, sender, Kind.URGENT)
    content = night.archive.get_bytes(f"/instances/{key}/file")

    forget(night, key)
    assert complaints(night, sender) == [
        f"{uid} (urgent): lost: the archive has no result of its patient"
    ]

    night.archive.send("/instances", content)
    assert complaints(night, sender) == []


def test_books_of_a_night_name_a_result_that_the_archive_has_twice(
    night: Night, sender: Sender
) -> None:
    uid, key = a_result(night, sender, Kind.SOUND)
    other = pydicom.dcmread(BytesIO(night.archive.get_bytes(f"/instances/{key}/file")))
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    stream = BytesIO()
    other.save_as(stream)

    added = night.archive.send("/instances", stream.getvalue())["ID"]
    assert complaints(night, sender) == [f"{uid} (sound): doubled: the archive has 2 results"]

    forget(night, added)
    assert complaints(night, sender) == []


def forget(night: Night, key: str) -> None:
    """Let the archive delete an object."""
    url = f"http://127.0.0.1:{night.archive.http_port}/instances/{key}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=30).close()


def test_books_of_a_night_name_what_the_ledger_never_heard_of(night: Night, sender: Sender) -> None:
    uid, _ = a_result(night, sender, Kind.SOUND)
    lost = Sender(night.node_port, [], pause=0)
    lost.sent = {**sender.sent, "1.2.3": sender.sent[uid]}
    del lost.sent[uid]

    assert sorted(complaints(night, lost)) == [
        "1.2.3 (sound): lost: the ledger has no analysis of it",
        f"{uid}: in the archive, and was never sent",
        f"{uid}: in the ledger, and was never sent",
    ]
