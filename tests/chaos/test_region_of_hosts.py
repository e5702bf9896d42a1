"""Hosts of a region are cut off, and its services stop: nothing is lost, doubled or unproven."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts_of_a_region import complaints
from host_network import HostNetwork
from postgresql import stopped_postgresql
from pydicom.dataset import Dataset
from region import (
    HOSTS,
    OpenRabbitMQ,
    OpenRedis,
    Region,
    answer_the_network,
    uids_of,
)
from sample_images import FILM
from sending import copies_of
from services import wait_for

LONG = os.environ.get("MAMMOCLIP_CHAOS") == "long"

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

STORE_AWAY_SECONDS = 600.0 if LONG else 60.0
"""``make chaos`` takes the store away for ten minutes."""

LONGER_THAN_A_LEASE = 8.0
WITHIN_SECONDS = 600.0

MakeRegion = Callable[[type[OpenRedis] | type[OpenRabbitMQ]], Region]


@pytest.fixture
def region_with(tmp_path: Path, bundle: Path) -> Iterator[MakeRegion]:
    with HostNetwork(HOSTS) as network, stopped_postgresql() as ledger:
        answer_the_network(ledger)
        yield lambda broker: Region(
            tmp_path, bundle, network=network, ledger=ledger, broker=broker(tmp_path)
        )


def test_nothing_is_lost_or_doubled_by_hosts_cut_off_and_services_away(
    region_with: MakeRegion,
) -> None:
    with region_with(OpenRedis).running() as region:
        sent = copies_of(FILM, 12)
        to_send = iter(sent)

        for _ in region.workers:
            region.send(next(to_send), "a", "b")
            _cut_off_in_the_middle_of_a_study(region)

        for host, service in (("ledger", region.ledger), ("broker", region.broker)):
            region.send(next(to_send), "a")
            region.holder()
            with region.network.without(host):
                region.send(next(to_send), "b")
                time.sleep(LONGER_THAN_A_LEASE)
            region.restart(host, service)

        with region.network.without("a"):
            region.send(next(to_send), "b")
        region.send(next(to_send), "a")

        region.holder()
        _take_the_store_away(region, next(to_send), next(to_send))
        region.send(next(to_send), "a", "b")

        region.wait_until_confirmed(sent, seconds=WITHIN_SECONDS)
        assert complaints(region, sent) == []


def test_nothing_is_lost_or_doubled_with_rabbitmq_that_stops(region_with: MakeRegion) -> None:
    with region_with(OpenRabbitMQ).running() as region:
        sent = copies_of(FILM, 5)
        for images in sent[:2]:
            region.send(images, "a", "b")
        _cut_off_in_the_middle_of_a_study(region)
        region.send(sent[2], "b")
        with region.network.without("broker"):
            region.send(sent[3], "a")
            time.sleep(LONGER_THAN_A_LEASE)
        region.broker.kill()
        region.send(sent[4], "b")
        time.sleep(LONGER_THAN_A_LEASE)
        region.restart("broker", region.broker)

        region.wait_until_confirmed(sent, seconds=WITHIN_SECONDS)
        assert complaints(region, sent) == []


def _cut_off_in_the_middle_of_a_study(region: Region) -> None:
    """Cut a worker host off until others have taken its study over, or it has ended it before."""
    holder = region.holder()
    with region.network.without(holder):
        wait_for(lambda: not region.holds(holder), seconds=60, what=f"{holder} has lost its study")
        time.sleep(LONGER_THAN_A_LEASE)


def _take_the_store_away(region: Region, *arriving: list[Dataset]) -> None:
    """Cut it off for half of the time, and have it stopped for the other half."""
    with region.network.without("store"):
        for images in arriving:
            region.send(images, "a", "b")
        time.sleep(STORE_AWAY_SECONDS / 2)
        region.store.kill()
    time.sleep(STORE_AWAY_SECONDS / 2)
    assert not uids_of(arriving) & region.confirmed()
    region.restart("store", region.store)
