"""Places of open associations: counted over processes, free again when a process is gone."""

import itertools
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dicom_node.spool.open_associations import Limits, NoPlaceError, OpenAssociations

LIMITS = Limits(total=4, each_address=2, kept_free=1)

HOLD = """
import sys; from pathlib import Path
from dicom_node.spool.open_associations import Limits, OpenAssociations
place = OpenAssociations(Path(sys.argv[1]), Limits(4, 2, 1)).take_place("10.0.0.9")
place.note(study_instance_uid="1.2.3", is_coming=True, since_ns=5 * 10**9)
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


def test_latest_object_of_an_association_is_known(places: OpenAssociations) -> None:
    place = places.take_place("10.0.0.1")
    before = places.latest_objects()

    place.note(study_instance_uid="1." * 31 + "11", is_coming=True, since_ns=10**18)
    place.note(study_instance_uid=None, is_coming=False, since_ns=7 * 10**9)

    assert before == []
    (latest,) = places.latest_objects()
    assert (latest.association, latest.study_instance_uid) == (place.token, None)
    assert (latest.is_coming, latest.since.timestamp()) == (False, 7.0)


def test_what_is_read_of_an_object_is_whole_at_any_moment(places: OpenAssociations) -> None:
    place = places.take_place("10.0.0.1")
    studies = ["1." * 31 + "1", "2.3"]
    place.note(study_instance_uid=studies[0], is_coming=True, since_ns=1)
    has_ended = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if has_ended.is_set():
                return
            study = studies[number % 2]
            place.note(study_instance_uid=study, is_coming=number % 2 == 0, since_ns=len(study))

    writer = threading.Thread(target=write)
    writer.start()
    seen = [places.latest_objects() for _ in range(300)]
    has_ended.set()
    writer.join()

    assert {(one.study_instance_uid, one.is_coming) for (one,) in seen} <= {
        (studies[0], True),
        (studies[1], False),
    }


def test_place_that_cannot_be_read_is_taken_all_the_same(
    places: OpenAssociations, tmp_path: Path
) -> None:
    for _ in range(2):
        places.take_place("10.0.0.1")
    (tmp_path / "0000").write_bytes(b"what a broken disk gives")

    assert len(places.tokens()) == 2
    assert places.latest_objects() == []


def test_next_association_at_a_place_has_sent_nothing(places: OpenAssociations) -> None:
    former = places.take_place("10.0.0.1")
    former.note(study_instance_uid="1.2.3", is_coming=True, since_ns=10**18)
    former.close()

    places.take_place("10.0.0.1")

    assert places.latest_objects() == []


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
        opened, (latest,) = places.tokens(), places.latest_objects()

        holder.kill()
        holder.wait(20)

    assert (opened, latest.study_instance_uid) == ({token}, "1.2.3")
    assert (places.tokens(), places.latest_objects()) == (frozenset(), [])
