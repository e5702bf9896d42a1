"""Places of open associations: counted over processes, free again when a process is gone."""

import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node.spool.open_associations import Limits, NoPlaceError, OpenAssociations

LIMITS = Limits(total=4, each_address=2, kept_free=1)

HOLD = """
import sys; from pathlib import Path
from dicom_node.spool.open_associations import Limits, OpenAssociations
place = OpenAssociations(Path(sys.argv[1]), Limits(4, 2, 1)).take_place("10.0.0.9")
print(place.token, flush=True); sys.stdin.read()
"""


@pytest.fixture
def places(tmp_path: Path) -> OpenAssociations:
    return OpenAssociations(tmp_path, LIMITS)


def test_place_is_open_under_its_token_until_it_is_closed(places: OpenAssociations) -> None:
    place = places.take_place("10.0.0.1")
    opened = places.tokens()

    place.close()

    assert (opened, places.tokens()) == ({place.token}, frozenset())


def test_address_gets_no_more_places_than_it_may_have(places: OpenAssociations) -> None:
    taken = [places.take_place("10.0.0.1") for _ in range(2)]

    with pytest.raises(NoPlaceError, match="maximum_associations_per_address"):
        places.take_place("10.0.0.1")

    taken[0].close()
    places.take_place("10.0.0.1")


def test_last_places_are_kept_free_for_those_that_have_sent_before(
    places: OpenAssociations,
) -> None:
    for number in range(3):
        places.take_place(f"10.0.0.{number}")

    with pytest.raises(NoPlaceError, match="places_for_known_senders"):
        places.take_place("10.0.0.8")
    places.remember("10.0.0.9")
    places.take_place("10.0.0.9")
    with pytest.raises(NoPlaceError, match=r"receive\.maximum_associations$"):
        places.take_place("10.0.0.9")


def test_place_of_another_process_is_seen_and_is_free_after_its_kill(
    places: OpenAssociations, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        token = holder.stdout.readline().strip()
        opened = places.tokens()

        holder.kill()
        holder.wait(20)

    assert (opened, places.tokens()) == ({token}, frozenset())
