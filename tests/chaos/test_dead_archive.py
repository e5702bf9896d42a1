"""A dead archive costs one line, whatever is killed meanwhile, and then gets everything."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from night import Night
from night_sender import Sender
from services import wait_for
from sqlalchemy import text

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

STUDIES = 12


@pytest.fixture
def night(tmp_path: Path, bundle: Path) -> Iterator[Night]:
    """Return a site of which the archive has not been started yet."""
    site = Night(tmp_path, bundle, maximum_attempts=4)
    try:
        site.broker.start()
        site.start_node()
        for service in (site.worker, site.delivery):
            service.start()
        yield site
    finally:
        site.stop()


def asked(night: Night, query: str) -> list[object]:
    with night._database() as database, database.reading() as session:
        return list(session.scalars(text(query)))


def condition(night: Night) -> str:
    done = night.run("destinations", "--json")
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["destinations"]
    return str(one["condition"])


def send(night: Night, count: int, first: int) -> None:
    sender = Sender(night.node_port, ["sound"] * count, pause=0, first=first)
    sender.start()
    sender.join(60)
    wait_for(
        lambda: len(asked(night, "SELECT id FROM deliveries")) == first + count,
        seconds=90,
        what="the studies are analysed",
    )


def test_dead_archive_is_one_line_over_every_kill_and_gets_everything_when_it_is_back(
    night: Night,
) -> None:
    send(night, STUDIES // 2, 0)
    wait_for(lambda: condition(night) == "down", seconds=90, what="the archive counts as down")
    send(night, STUDIES // 2, STUDIES // 2)
    tried = asked(night, "SELECT sum(attempts) FROM deliveries")

    for service in (night.delivery, night.node, night.delivery):
        night.kill(service)
    night.wipe_broker()
    probed = asked(night, "SELECT probes FROM destination_states")
    wait_for(
        lambda: asked(night, "SELECT probes FROM destination_states") > probed,
        seconds=90,
        what="the archive is asked again",
    )
    assert asked(night, "SELECT sum(attempts) FROM deliveries") == tried

    night.archive.start()
    assert night.run("retry", "--destination", "archive").returncode == 0
    wait_for(
        lambda: asked(night, "SELECT state FROM deliveries") == ["accepted"] * STUDIES,
        seconds=180,
        what="all are delivered",
    )

    output = night.delivery.output()
    assert output.count("destination_down") == 1
    assert output.count("delivery_postponed") <= 1
    assert output.count("destination_answers") == 1
    assert condition(night) == "ready"
