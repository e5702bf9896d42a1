"""The node routes what it has received as `test-rule` and the console say of the same files."""

import random
from contextlib import ExitStack
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import UploadFile
from node_factory import NOW, STUDY_UID, Reception, four_views, mammogram, put
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.commands.rule_trial import Journey, Trial, try_rules
from dicom_node.console.site import Site
from dicom_node.console.views.rules import journey_of, trials_of
from dicom_node.errors import NodeError
from dicom_node.facts.priority import Priority
from dicom_node.routing.route import Recipient, Route
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.queries.reading import study_record, summaries
from dicom_node.studies.ledger.removal.removing import finished_studies
from dicom_node.studies.ledger.spools import FIRST
from dicom_node.studies.ledger.states import StudyState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study
from dicom_node.studies.operator_actions import retry_study
from dicom_node.studies.settling import Patience, settle_if_complete
from dicom_node.study_routing import LedgerRouter

# What differs between databases is tried with the commands.
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

PATIENCE = Patience(idle=timedelta(0), grace=timedelta(0))
LATER = NOW + timedelta(days=900)
MANUFACTURERS = ("HOLOGIC, Inc.", "GE MEDICAL SYSTEMS", "SIEMENS", "", "Quellwasser")
ADDRESSES = ("10.7.0.1", "10.70.0.1", "::ffff:10.7.0.2", "fd00::7", "")
ARCHIVE = {"name": "archive", "ae_title": "ARCHIVE", "host": "10.0.0.2"}
WORKSTATION = {"name": "workstation", "ae_title": "WS", "host": "10.0.0.3"}
RULES: list[dict[str, Any]] = [
    {"name": "men", "when": "PatientSex == 'M'", "refuse": "trained on women"},
    {"name": "broken", "when": "StationName == 'BAD' && 1 / (images - images) > 0"},
    {"name": "stat", "when": "priority == 'stat'", "priority": "stat"},
    {
        "name": "van",
        "when": ["sender.startsWith('VAN')", "age >= 40 && age < 70"],
        "destinations": ["archive"],
    },
    {"name": "network", "when": "address.startsWith('10.7.')", "destinations": ["archive"]},
    {"name": "called", "when": "called == 'OTHER'", "mode": "shadow"},
    {
        "name": "hologic",
        "when": "each.Manufacturer.exists(one, one.matches('(?i)hologic.*')) || Rows > 4",
        "destinations": [{"name": "workstation", "profile": "workstation"}],
    },
    {"name": "left", "when": "laterality == 'L' && views == ['LMLO']", "destinations": []},
    {"name": "thick", "when": "BodyPartThickness > 60 || 'PRIMARY' in ImageType && images > 1"},
]


def settings_of(reception: Reception, *rules: dict[str, Any]) -> Settings:
    return Settings(
        spool=reception.spool.root,
        destinations=[ARCHIVE, WORKSTATION],
        rules=rules,
        receive={"off_peak_senders": ["VAN2"]},
    )


def generated(number: int, chance: random.Random) -> tuple[list[Dataset], dict[str, str]]:
    """Return a study of one to four views, and how it comes."""
    uid = f"{STUDY_UID}.{number}"
    attributes: dict[str, Any] = {
        "StudyInstanceUID": uid,
        "PatientSex": chance.choice(("F", "F", "F", "M", "")),
        "StationName": chance.choice(("A", "B", "BAD", "")),
        "BodyPartThickness": chance.choice(("40", "61.5", None)),
        "StudyDate": "20260304",
        "PatientAge": chance.choice(("039Y", "040Y", "069Y", "070Y", "500D", "")),
        "RequestedProcedurePriority": chance.choice(("STAT", "LOW", "ROUTINE", "")),
    }
    views = chance.sample(four_views(**attributes), chance.randint(1, 4))
    for view in views:
        view.Manufacturer = chance.choice(MANUFACTURERS)
    sender = chance.choice(("VAN1", "VAN2", "ROOM1"))
    return views, {"calling_ae_title": sender, "address": chance.choice(ADDRESSES)}


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.long)])
def test_trial_and_router_agree(reception: Reception, count: int) -> None:
    chance = random.Random(20260304)
    settings = settings_of(reception, *RULES)
    reception.settings = settings.receive
    for number in range(count):
        datasets, journey = generated(number, chance)
        for dataset in datasets:
            put(reception.spool, dataset, **journey)
    while reception.registrar.register_all():
        pass

    trials, passed_over = try_rules(
        settings, None, [reception.spool.root / "studies"], journey=Journey(), at=NOW
    )

    router = LedgerRouter(settings, reception.spool)
    with reception.database.reading() as session:
        routed = {
            study.study_instance_uid: decided.route
            for study in session.scalars(select(Study))
            if (decided := router.decided(session, study.id, at=NOW)) is not None
        }
    router.close()
    assert passed_over == []
    assert {one.study_instance_uid: one.route for one in trials} == routed
    assert {one.study_instance_uid: one.route for one in by_console(settings)} == routed
    assert len(routed) == count
    taken = {route.rule for route in routed.values()}
    assert {"men", "broken", "stat", "van", "network", "hologic"} <= taken, taken


def by_console(settings: Settings) -> list[Trial]:
    """Return what the console's tester says of the files in the spool, sent there by a browser."""
    with ExitStack() as opened:
        files = [
            UploadFile(opened.enter_context(file.open("rb")))
            for file in sorted((settings.spool / "studies").rglob("*.dcm"))
        ]
        site = cast("Site", SimpleNamespace(settings=settings))
        return trials_of(site, files, journey_of("", "", ""))


def settled(
    reception: Reception, *rules: dict[str, Any], at: datetime = LATER, **attributes: Any
) -> Study:
    for dataset in four_views(**attributes):
        reception.receive(dataset)
    return settle(reception, *rules, at=at)


def settle(reception: Reception, *rules: dict[str, Any], at: datetime = LATER) -> Study:
    router = LedgerRouter(settings_of(reception, *rules), reception.spool)
    with reception.database.reading() as session:
        study = session.scalars(select(Study)).one()
        decided = router.decided(session, study.id, at=at)
    router.close()
    with reception.database.writing() as session:
        settle_if_complete(session, study.id, sent=(), patience=PATIENCE, at=at, decided=decided)
    return reception.study()


def test_rule_is_kept_with_the_analysis_and_shown(reception: Reception) -> None:
    rule = {"name": "night", "when": "images == 4", "priority": "stat", "destinations": ["archive"]}

    study = settled(reception, rule)

    (analysis,) = reception.rows(Analysis)
    assert Route.from_json(analysis.rule, analysis.route) == Route(
        rule="night", recipients=(Recipient("archive"),)
    )
    assert (study.priority, analysis.priority) == (Priority.STAT, Priority.STAT)
    with reception.database.reading() as session:
        record = study_record(session, session.get_one(Study, study.id))
    assert record["analyses"][0]["rule"] == "night"
    assert "rule night" in record["history"][-1]["reason"]


def test_without_rules_the_default_rule_takes_everything(reception: Reception) -> None:
    settled(reception)

    (analysis,) = reception.rows(Analysis)
    assert Route.from_json(analysis.rule, analysis.route) == Route()


def test_study_that_a_rule_refuses_is_not_analysed_and_says_why(reception: Reception) -> None:
    study = settled(reception, RULES[0], PatientSex="M")

    assert study.state is StudyState.SETTLED
    assert reception.rows(Analysis) == []
    with reception.database.reading() as session:
        (line,) = summaries(session, limit=9)
        done, _ = finished_studies(session, FIRST, confirming=(), received_before=LATER)
    assert (line.condition, line.reason) == (
        "nothing-to-analyse",
        "not analysed by rule men: trained on women",
    )
    assert [one.study_id for one in done] == [study.id], "the retention may remove its files"


def test_study_whose_rule_cannot_be_evaluated_is_held_until_it_is_corrected(
    reception: Reception,
) -> None:
    broken = {"name": "a", "when": "4 / (images - 4) > 1", "destinations": ["archive"]}

    study = settled(reception, broken)

    with reception.database.reading() as session:
        (line,) = summaries(session, limit=9)
    assert line.condition == "held"
    assert "rule a cannot be evaluated: 4 / (images - 4) > 1: divide by zero" in line.reason
    held = Route(held=study.remark)
    with reception.database.writing() as session, pytest.raises(NodeError, match="divide by zero"):
        retry_study(session, STUDY_UID, at=LATER, route=held)
    with reception.database.writing() as session:
        retry_study(session, STUDY_UID, at=LATER, route=Route(rule="corrected"))
    assert [one.rule for one in reception.rows(Analysis)] == ["corrected"]
    assert reception.study().remark == ""


def test_image_that_came_since_the_rules_were_asked_has_them_asked_again(
    reception: Reception,
) -> None:
    for dataset in four_views():
        reception.receive(dataset)
    router = LedgerRouter(
        settings_of(reception, {"name": "four", "when": "images == 4"}), reception.spool
    )
    with reception.database.reading() as session:
        study_id = session.scalars(select(Study.id)).one()
        decided = router.decided(session, study_id, at=NOW)
    router.close()
    reception.receive(mammogram("XCCL"))

    with reception.database.writing() as session:
        settle_if_complete(session, study_id, sent=(), patience=PATIENCE, at=LATER, decided=decided)
    assert reception.rows(Analysis) == []

    settle(reception, {"name": "four", "when": "images == 4"})
    assert [one.rule for one in reception.rows(Analysis)] == ["default"]


def test_late_image_makes_no_study_less_urgent(reception: Reception) -> None:
    urgent = {"name": "stat", "when": "images == 4", "priority": "stat"}
    later = {"name": "later", "priority": "off-peak"}
    settled(reception, urgent, later)
    reception.receive(mammogram("XCCL"))

    study = settle(reception, urgent, later)

    assert [one.rule for one in reception.rows(Analysis)] == ["stat", "later"]
    assert study.priority == Priority.STAT


def test_header_that_cannot_be_read_for_the_rules_holds_the_study(reception: Reception) -> None:
    for dataset in four_views():
        reception.receive(dataset)
    (first, *_) = reception.rows(Instance)
    reception.spool.file(first.place).write_bytes(b"no DICOM any more")

    study = settle(reception, {"name": "a", "when": "Manufacturer == 'GE'"})

    assert f"the header of {first.sop_instance_uid} must be read" in study.remark
