"""Rows P1 to P4: which workitems are seen and refused, and that no two performers work on one."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from node_factory import FOR_PRESENTATION, NOW, SOMEBODY_ELSE, Reception
from worklist_double import Worklist, coded, element
from worklist_site import STUDY, Site, item, uid

from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.procedure_steps.tables import WorkitemState

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

CT = "1.2.840.10008.5.1.4.1.1.2"


def states(site: Site) -> list[str]:
    return [row.state for row in site.rows()]


def others() -> list[Any]:
    """Return workitems that are not the node's: by code, readiness, time, station and label."""
    return [
        item(4, code="CT-AI"),
        item(5, code="CT-AI"),
        item(6, readiness="INCOMPLETE"),
        item(7, start="29991231000000+0000"),
        item(8, t00404025=coded("NODE-2")),
    ]


@pytest.mark.parametrize("ignores_filters", [False, True])
def test_p1_search_sees_its_own_ready_workitems_page_by_page(
    site_with: Callable[..., Site], worklist: Worklist, ignores_filters: bool
) -> None:
    worklist.ignores_filters = ignores_filters
    worklist.page = 2
    worklist.add(*others(), *(item(number) for number in (1, 2, 3)))
    site = site_with(most_at_once=10)

    site.performer().step()

    held = sorted(row.workitem_uid for row in site.rows() if row.state == "held")
    assert held == [uid(1), uid(2), uid(3)]
    asked = worklist.searches[0]
    assert asked["00741000"] == "SCHEDULED"
    assert asked["00404041"] == "READY"
    assert asked["00404018.00080100"] == "MAMMO-AI"
    assert asked["00404005"].startswith("-20")
    assert {worklist.state(uid(number)) for number in range(4, 9)} == {"SCHEDULED"}


def test_p1_station_and_label_are_asked_for_where_they_are_set(
    site_with: Callable[..., Site], worklist: Worklist
) -> None:
    own = {"value": "NODE-1", "scheme": "99TEST", "meaning": "Node 1"}
    labelled = {"t00741202": element("LO", "AI"), "t00404025": coded("NODE-1")}
    worklist.add(item(1), item(2, **labelled), item(3, t00404025=coded("NODE-1")))

    site = site_with(station_names=[own], worklist_label="AI")
    site.performer().step()

    assert [row.workitem_uid for row in site.rows()] == [uid(2)]
    assert worklist.searches[0]["00404025.00080100"] == "NODE-1"
    assert worklist.searches[0]["00741202"] == "AI"


def test_p1_answer_without_content_is_an_empty_worklist(site: Site, log_lines: list[Any]) -> None:
    site.performer().step()

    assert site.rows() == []
    assert log_lines == []


def of_study(text: str) -> Any:
    """Return a workitem that names a study by any text."""
    one = item()
    one["00404021"]["Value"][0]["0020000D"] = element("UI", text)
    return one


def two_studies() -> Any:
    twofold = item()
    (one,) = twofold["00404021"]["Value"]
    twofold["00404021"]["Value"] = [one, one | {"0020000D": element("UI", f"{STUDY}.2")}]
    return twofold


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (item(t00404018=coded("CT-AI")), "CT-AI"),
        (item(images=[(CT, "1.2.3")]), "CT Image Storage"),
        (two_studies(), "2 studies"),
        (item(t00404021=element("SQ")), "names no study"),
        (item(t00404018=coded("MAMMO-AI") | {"Value": []}), "none"),
        (of_study("1.2.*"), "what is no UID"),
        (of_study("../../1.2.3"), "what is no UID"),
        (of_study("1." + "2" * 200), "what is no UID"),
        (item(images=[(FOR_PRESENTATION, "1.2.3"), (FOR_PRESENTATION, "")]), "1 of its 2 inputs"),
        (item(images=[(FOR_PRESENTATION, "1.2.3"), (FOR_PRESENTATION, "*")]), "1 of its 2 inputs"),
    ],
    ids=[
        "other code",
        "CT",
        "two studies",
        "no study",
        "no code",
        "wild card",
        "path",
        "long study",
        "nameless input",
        "wild input",
    ],
)
def test_p2_what_the_node_cannot_do_is_left_to_others_and_named_once(
    site: Site, worklist: Worklist, log_lines: list[Any], refused: Any, words: str
) -> None:
    worklist.ignores_filters = True
    worklist.add(refused)
    performer = site.performer()

    for _ in range(3):
        performer.step()
    site.performer().step()

    assert worklist.state(uid()) == "SCHEDULED"
    assert worklist.asked("PUT") == 0
    assert worklist.asked("GET", uid()) == 1, "it is not asked for again and again"
    (line,) = [one for one in log_lines if one["event"] == "workitem_refused"]
    assert words in line["reason"]


def test_p2_refused_workitem_that_was_changed_is_taken_later(
    site: Site, worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    worklist.add(item(images=[(CT, "1.2.3")]))
    performer = site.performer()
    performer.step()
    worklist.add(item())
    later = site.database.now() + timedelta(hours=2)
    monkeypatch.setattr(site.database, "now", lambda: later)

    performer.step()

    assert states(site) == ["held"]


def test_p2_workitem_for_another_patient_than_the_nodes_images_is_left(
    site: Site, worklist: Worklist
) -> None:
    site.receive(**SOMEBODY_ELSE)
    worklist.add(item())

    site.performer().step()

    assert worklist.state(uid()) == "SCHEDULED"
    assert "another patient" in site.row().reason


def test_p3_transaction_uid_is_decimal_and_stored_before_it_is_sent(
    site: Site, worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    worklist.add(item())
    performer = site.performer()
    stored: list[Any] = []
    ask = performer._server.change_state

    def watched(*arguments: str) -> Any:
        stored.append((site.row().state, site.row().transaction_uid))
        return ask(*arguments)

    monkeypatch.setattr(performer._server, "change_state", watched)
    performer.step()

    (state, transaction), *_ = stored
    assert state == WorkitemState.CLAIMING
    assert transaction == worklist.transactions[uid()]
    assert transaction.startswith("2.25.")
    assert transaction[5:].isdecimal()
    assert len(transaction) <= 64


def test_p3_claim_whose_answer_was_lost_is_the_nodes_after_a_restart(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item())
    worklist.lost_answers = {4}  # after two pages and the contents: the claim
    site.performer().step()
    assert states(site) == ["claiming"]

    site.performer().step()

    assert states(site) == ["held"]
    assert worklist.claims[uid()] == 1


def test_p3_claim_that_never_reached_the_server_is_dropped_if_another_was_first(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item())
    worklist.lost_answers = {4}
    site.performer().step()
    worklist.transactions[uid()] = "2.25.1"

    site.performer().step()

    assert states(site) == ["lost"]


def two_sites(site: Site, tmp_path: Path, migrated_ledger: Path) -> Site:
    other = tmp_path / "other.sqlite"
    other.write_bytes(migrated_ledger.read_bytes())
    return Site(
        Reception(Spool(tmp_path / "other"), Database(f"sqlite:///{other}")),
        site.worklist,
        site.options,
    )


@pytest.mark.parametrize("count", [3, pytest.param(200, marks=pytest.mark.long)])
def test_p4_two_performers_share_a_worklist_and_no_workitem_has_two(  # noqa: PLR0917  fixtures
    site_with: Callable[..., Site],
    worklist: Worklist,
    tmp_path: Path,
    migrated_ledger: Path,
    log_lines: list[Any],
    count: int,
) -> None:
    site = site_with(most_at_once=100)
    other = two_sites(site, tmp_path, migrated_ledger)
    sites = [site, other]
    studies = {number: f"{STUDY}.{number}" for number in range(1, count + 1)}
    worklist.add(*(item(number, study) for number, study in studies.items()))
    performers = [one.performer() for one in sites]
    one_reader = threading.Lock()  # of headers, which tests of a run share

    def run(which: int) -> None:
        while any(one["00741000"]["Value"] == ["SCHEDULED"] for one in worklist.items.values()):
            performers[which].step()
            for row in sites[which].rows():
                if row.state == "held":
                    with one_reader:
                        sites[which].work(row.study_instance_uid)
            performers[which].step()

    threads = [threading.Thread(target=run, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for performer in performers:
        performer.step()
    other.database.close()

    assert {one: worklist.claims[one] for one in worklist.items} == dict.fromkeys(worklist.items, 1)
    assert sum(worklist.endings.values()) == count
    assert not [one for one in log_lines if one.get("log_level") in {"warning", "error"}]


@pytest.mark.parametrize("shows_transactions", [False, pytest.param(True, marks=pytest.mark.long)])
def test_p4_where_both_claims_win_one_performer_finds_out_and_stops(  # noqa: PLR0917  fixtures
    site: Site,
    worklist: Worklist,
    tmp_path: Path,
    migrated_ledger: Path,
    shows_transactions: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worklist.lets_both_win = True
    worklist.shows_transactions = shows_transactions
    other = two_sites(site, tmp_path, migrated_ledger)
    worklist.add(item())
    first, second = site.performer(), other.performer()
    contents, found = second._server.workitem(uid()), list(second._server.search({}))
    first.step()
    # The second one has read before the first one claimed.
    answers = iter([contents])
    shown = second._server.workitem
    monkeypatch.setattr(second._server, "search", lambda _: iter(found))
    monkeypatch.setattr(second._server, "workitem", lambda one: next(answers, None) or shown(one))
    second.step()
    site.work()
    other.work()

    for _ in range(2):
        first.step()
        second.step()

    assert worklist.claims[uid()] == 2
    assert sorted(states(site) + states(other)) == ["completed", "lost"]
    assert worklist.endings == {(uid(), "COMPLETED"): 1}
    other.database.close()


def test_p4_server_that_knows_a_workitem_no_more_is_no_error(
    site: Site, worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    worklist.add(item())
    performer = site.performer()
    ask = performer._server.change_state

    def gone(*arguments: str) -> Any:
        worklist.items.clear()
        return ask(*arguments)

    monkeypatch.setattr(performer._server, "change_state", gone)
    performer.step()

    assert states(site) == ["lost"]
    assert site.row().seen_at >= NOW
