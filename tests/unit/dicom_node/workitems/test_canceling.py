"""Rows P10, P11, P14: why a workitem is canceled, at whose request, and what is logged of it."""

from collections.abc import Callable
from typing import Any

import pytest
from node_factory import (
    NOW,
    PATIENT_WORDS,
    TOMOSYNTHESIS,
    claimed,
)
from worklist_double import Worklist, element, value
from worklist_site import STUDY, Site, item, uid

from dicom_node.audit_trail import deeds_of
from dicom_node.logs import ALLOWED_KEYS
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.removal.erasing import erase_study
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, as_facts

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def reason_told(worklist: Worklist) -> Any:
    return value(worklist.items[uid()], "00741002.0074100E.00080100")


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ImageLaterality": ""}, "110521"),
        ({"SOPClassUID": TOMOSYNTHESIS}, "110522"),
    ],
    ids=["no laterality", "tomosynthesis"],
)
def test_p10_study_of_which_nothing_can_be_analysed_cancels_with_the_reason(
    site: Site, worklist: Worklist, attributes: dict[str, str], code: str
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.receive(**attributes)
    site.settle()
    performer.step()

    assert worklist.state(uid()) == "CANCELED"
    assert reason_told(worklist) == code
    assert value(worklist.items[uid()], "00741002.00404052"), "when it was canceled"
    assert value(worklist.items[uid()], "00741002.00741238"), "why, in words"


def test_p10_failed_analysis_cancels_with_the_reason(site: Site, worklist: Worklist) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.receive()
    site.settle()
    with site.database.writing() as session:
        held = claimed(session, site.analysis(session))
        outcomes.fail_analysis(session, held, reason="nothing-analysed: no pixels", at=NOW)
    performer.step()

    assert reason_told(worklist) == "110527"
    assert worklist.endings == {(uid(), "CANCELED"): 1}


def in_state(site: Site, state: str) -> None:
    """Bring the study so far; a worker has it in hand where the word says so."""
    if state == "waiting":
        return
    site.receive()
    site.settle()
    if state in {"decoding", "inference"}:
        with site.database.writing() as session:
            claimed(session, site.analysis(session))
    if state == "delivery":
        site.analyse()


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        pytest.param(state, shown, marks=() if is_short else pytest.mark.long)
        for state, shown, is_short in (
            ("waiting", False, True), ("due", True, True), ("inference", False, True),
            ("waiting", True, False), ("due", False, False), ("decoding", False, False),
            ("decoding", True, False), ("inference", True, False),
        )
    ],
)  # fmt: skip
def test_p11_request_to_cancel_stops_the_analysis(
    site: Site, worklist: Worklist, state: str, shown: bool
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    in_state(site, state)
    if shown:
        worklist.items[uid()]["00741002"] = element("SQ", {"00741238": element("LT", "wrong")})
        performer.step()
    else:
        performer.cancel_asked(uid())
    performer.step()

    assert worklist.state(uid()) == "CANCELED"
    assert reason_told(worklist) == "110513"
    assert "on request" in value(worklist.items[uid()], "00741002.00741238")
    wanted = [] if state == "waiting" else [AnalysisState.CANCELLED]
    assert [one.state for one in site.reception.rows(Analysis)] == wanted


def test_p11_request_during_delivery_comes_too_late_and_the_performer_says_so(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    in_state(site, "delivery")
    performer.cancel_asked(uid())
    performer.step()
    assert "not followed" in worklist.progress[-1][2]
    site.deliver()
    performer.step()

    assert worklist.state(uid()) == "COMPLETED"
    assert "not followed" in worklist.progress[-1][2]


def test_p11_request_for_one_of_two_workitems_leaves_the_study_to_the_other(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item(1), item(2))
    performer = site.performer()
    performer.step()
    in_state(site, "due")
    performer.cancel_asked(uid(1))
    performer.step()
    site.analyse()
    site.deliver()
    performer.step()

    assert [worklist.state(uid(number)) for number in (1, 2)] == ["CANCELED", "COMPLETED"]


def test_p11_request_for_a_workitem_of_others_is_the_servers_business(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item(code="CT-AI"))
    performer = site.performer()
    performer.cancel_asked(uid())
    performer.step()

    assert site.rows() == []
    assert worklist.state(uid()) == "SCHEDULED"


def test_workitem_that_somebody_else_has_ended_is_given_up(
    site: Site, worklist: Worklist, log_lines: list[Any]
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    worklist.items[uid()]["00741000"] = element("CS", "CANCELED")
    performer.step()

    assert site.row().state == "lost"
    assert [one["event"] for one in log_lines][-1] == "workitem_lost"


def test_study_that_is_erased_cancels_its_workitem_and_leaves_nothing_of_it(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    in_state(site, "due")
    with site.database.writing() as session:
        erase_study(session, STUDY, force=True, at=NOW)
    performer.step()

    assert worklist.state(uid()) == "CANCELED"
    row = site.row()
    assert (row.study_instance_uid, row.inputs, row.patient_digest) == ("", "[]", "")


def test_p14_every_transaction_is_logged_and_names_no_patient(
    site_with: Callable[..., Site], worklist: Worklist, log_lines: list[Any]
) -> None:
    other = f"{STUDY}.2"
    worklist.add(item(1), item(2, other), item(3, images=[("1.2.840.10008.5.1.4.1.1.2", "1.2.3")]))
    site = site_with()
    performer = site.performer()
    performer.step()
    site.work()
    performer.cancel_asked(uid(2))
    performer.step()

    about = {(one["event"], one["workitem"]) for one in log_lines if "workitem" in one}
    assert about >= {
        ("workitem_claimed", uid(1)),
        ("workitem_completed", uid(1)),
        ("workitem_claimed", uid(2)),
        ("workitem_cancel_asked", uid(2)),
        ("workitem_canceled", uid(2)),
        ("workitem_refused", uid(3)),
    }
    assert not [word for word in PATIENT_WORDS if word in str(log_lines)]
    used = {key for one in log_lines if "workitem" in one for key in one}
    assert used - {"log_level"} <= ALLOWED_KEYS


def test_p14_what_is_done_with_a_workitem_is_audited_and_names_no_patient(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item(1), item(2, f"{STUDY}.2"))
    performer = site.performer()
    performer.step()
    site.work()
    performer.cancel_asked(uid(2))
    performer.step()

    entries = list(deeds_of(site.settings))
    assert [(one["act"], one["outcome"], one["detail"]) for one in entries] == [
        ("workitem", "done", f"claimed: workitem {uid(1)}"),
        ("workitem", "done", f"claimed: workitem {uid(2)}"),
        ("workitem", "done", f"completed: workitem {uid(1)}"),
        ("workitem", "done", f"canceled: workitem {uid(2)}"),
    ]
    assert entries[0]["studies"] == [STUDY]
    assert not [word for word in PATIENT_WORDS if word in str(entries)]


def test_ledger_keeps_no_patient_of_a_workitem(site: Site, worklist: Worklist) -> None:
    worklist.add(item(t00100010=element("PN", {"Alphabetic": "Quellwasser^Ottilie"})))
    site.performer().step()

    columns = str(as_facts(site.row()))
    assert not [word for word in PATIENT_WORDS if word in columns]
