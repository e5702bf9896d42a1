"""Studies are found by text, state, sender and date, a page at a time."""

import pytest
from node_factory import (
    after,
    analysis_row,
    delivery_row,
    instance_row,
    study_row,
)
from sqlalchemy.orm import Session

from dicom_node.facts.identifiers import Identifiers
from dicom_node.studies.ledger.identifiers.keeping import noted
from dicom_node.studies.ledger.queries.reading import summary
from dicom_node.studies.ledger.search import study_search
from dicom_node.studies.ledger.search.conditions import CONDITIONS
from dicom_node.studies.ledger.search.study_search import (
    StudyFilter,
    WrongFilterError,
    find_studies,
)
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Study


def named(session: Session, number: int, **identifiers: str) -> Study:
    study = study_row(session, f"1.2.{number}", last_received_at=after(number))
    found = noted(session, study.id, Identifiers(**identifiers))
    instance_row(session, study, identifiers_id=found)
    return study


def uids(session: Session, **wanted: object) -> list[str]:
    found = find_studies(session, StudyFilter(**wanted), limit=50)  # type: ignore[arg-type]
    return [one.study_instance_uid for one in found.studies]


@pytest.mark.parametrize(
    "text", ["ACC-7", "acc-7", " ACC-7 ", "pat-7", "Müller", "muller, a", "1.2.7", "acc-"]
)
def test_study_is_found_by_what_a_person_knows(session: Session, text: str) -> None:
    named(session, 7, accession_number="ACC-7", patient_id="PAT-7", patient_name="Müller^Anna")
    named(session, 8, accession_number="BCC-8", patient_id="QAT-8", patient_name="Meier^Berta")

    assert uids(session, text=text) == ["1.2.7"]


@pytest.mark.parametrize("text", ["%", "_", "' OR 1=1 --", "acc%", "ACC-70", "anna"])
def test_what_looks_like_a_pattern_is_only_text(session: Session, text: str) -> None:
    named(session, 7, accession_number="ACC-7", patient_id="PAT-7", patient_name="Müller^Anna")

    assert uids(session, text=text) == []


def test_filters_add_up(session: Session) -> None:
    for number in range(3):
        study = named(session, number, accession_number=f"ACC-{number}")
        study.calling_ae_title = "ROOM1" if number else "ROOM2"

    assert uids(session, text="acc", sender="ROOM1", since=after(2)) == ["1.2.2"]
    assert uids(session, text="acc", sender="ROOM1", before=after(2)) == ["1.2.1"]


def test_pages_hold_every_study_once(session: Session) -> None:
    for number in range(7):
        # Two at a time were received at one moment.
        study_row(session, f"1.2.{number}", last_received_at=after(number // 2))

    seen, cursor = [], ""
    while True:
        page = find_studies(session, StudyFilter(), limit=2, cursor=cursor)
        seen += [one.study_instance_uid for one in page.studies]
        cursor = page.cursor
        if not cursor:
            break

    assert seen == [f"1.2.{number}" for number in reversed(range(7))]


def test_page_that_finds_nothing_goes_on_where_it_stopped(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_search, "LOOKED_THROUGH", 3)
    for number in range(7):
        study = study_row(session, f"1.2.{number}", last_received_at=after(number))
        done = analysis_row(session, study, state=AnalysisState.DONE)
        if number:
            delivery_row(session, done, state=DeliveryState.ACCEPTED)

    first = find_studies(session, StudyFilter(condition="done"), limit=2)
    second = find_studies(session, StudyFilter(condition="done"), limit=2, cursor=first.cursor)
    third = find_studies(session, StudyFilter(condition="done"), limit=2, cursor=second.cursor)

    assert [list(page.studies) for page in (first, second)] == [[], []]
    assert [one.study_instance_uid for one in third.studies] == ["1.2.0"]
    assert not third.cursor


@pytest.mark.parametrize("cursor", ["x", "MjAyNg", "///", "=", "🩻", "MjAyNi0wMy0wNCAx"])
def test_cursor_of_nobody_is_refused_without_its_value(session: Session, cursor: str) -> None:
    with pytest.raises(WrongFilterError) as caught:
        find_studies(session, StudyFilter(), limit=2, cursor=cursor)

    assert cursor not in str(caught.value) or len(cursor) == 1


def test_erased_studies_are_not_found(session: Session) -> None:
    study_row(session, "1.2.3", state=StudyState.ERASED)

    assert uids(session) == []


def every_situation(session: Session) -> None:
    """Enter a study for each thing that a study can be in."""
    number = 0

    def study(**columns: object) -> Study:
        nonlocal number
        number += 1
        return study_row(session, f"1.9.{number}", last_received_at=after(number), **columns)

    study(state=StudyState.OPEN)
    study(remark="nothing to analyse")
    study(remark="not analysed by rule night: no")
    study(remark="2 of its images were corrected to another patient")
    for state in AnalysisState:
        if state is not AnalysisState.DONE:
            analysis_row(session, study(), state=state)
    analysis_row(session, study(), state=AnalysisState.DONE)
    for state in DeliveryState:
        for other in DeliveryState:
            analysis = analysis_row(session, study(), state=AnalysisState.DONE)
            delivery_row(session, analysis, state=state)
            delivery_row(session, analysis, state=other, destination="second")
    # A former revision counts for nothing.
    superseded = study(revision=2)
    analysis_row(session, superseded, state=AnalysisState.FAILED)
    analysis_row(session, superseded, state=AnalysisState.DUE, revision=2)


@pytest.mark.parametrize("candidates", [0, 2000])
def test_each_study_is_found_by_its_state_and_by_no_other(
    session: Session, monkeypatch: pytest.MonkeyPatch, candidates: int
) -> None:
    monkeypatch.setattr(study_search, "MOST_CANDIDATES", candidates)
    every_situation(session)
    told = {
        one.study_instance_uid: summary(session, one).condition
        for one in find_studies(session, StudyFilter(), limit=500).studies
    }

    found = {
        condition: {
            one.study_instance_uid
            for one in find_studies(session, StudyFilter(condition=condition), limit=500).studies
        }
        for condition in CONDITIONS
    }

    assert set(told.values()) - {"superseded"} == set(CONDITIONS)
    for condition in CONDITIONS:
        assert found[condition] == {uid for uid, one in told.items() if one == condition}


def test_state_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(WrongFilterError):
        StudyFilter(condition="lost")
