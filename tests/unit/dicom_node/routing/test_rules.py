"""The first rule whose conditions hold takes a study; mistakes are named before any comes."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from dicom_node.errors import SettingsError
from dicom_node.facts.priority import Priority
from dicom_node.routing.checking import rules_of
from dicom_node.routing.route import Recipient, Route
from dicom_node.routing.rules import Additions, Rules, all_recipients
from dicom_node.routing.study_facts import AnswerFacts, RoutedImage, StudyFacts
from dicom_node.settings.settings import Settings

AT = datetime(2026, 3, 29, 21, 30, tzinfo=UTC)  # 23:30 in Berlin, a Sunday
PACS = {"name": "pacs", "ae_title": "PACS", "host": "10.0.0.1"}
ARCHIVE = {"name": "archive", "ae_title": "ARCHIVE", "host": "10.0.0.2"}


def settings_with(*rules: dict[str, Any], **others: Any) -> Settings:
    values = {"destinations": [PACS, ARCHIVE], "bundles": {"second": {"folder": "b"}}, **others}
    return Settings(rules=rules, **values)


def rules_with(*rules: dict[str, Any], results: Any = (), findings: Any = None) -> Rules:
    others: dict[str, Any] = {"result_rules": results, "results": {"time_zone": "Europe/Berlin"}}
    return rules_of(settings_with(*rules, **others), findings)


def facts(*views: str, sender: str = "ROOM1", **attributes: Any) -> StudyFacts:
    return StudyFacts(
        sender=sender,
        images=[
            RoutedImage(
                sop_instance_uid=f"1.2.{number}",
                laterality=view[0],
                view_position=view[1:],
                attributes={"called": "NODE", "address": "10.1.2.3"} | attributes,
            )
            for number, view in enumerate(views or ("LCC", "RCC", "LMLO", "RMLO"))
        ],
        is_complete=not views,
        priority=Priority.ROUTINE,
        at=AT,
    )


def answer(**changes: Any) -> AnswerFacts:
    values = {
        "rule": "default",
        "bundle": "b",
        "scores": {"mass": 0.7},
        "flagged": ["mass"],
        "analysed": 4,
        "is_incomplete": False,
        **changes,
    }
    return AnswerFacts(**values)


def taken_by(condition: str, study: StudyFacts) -> bool:
    route, _ = rules_with({"name": "it", "when": condition}).route(study)
    return route.rule == "it"


@pytest.mark.parametrize(
    "condition",
    [
        "sender == 'ROOM1' && called == 'NODE'",
        "images == 4 && views == ['LCC', 'LMLO', 'RCC', 'RMLO'] && laterality == 'B'",
        "complete && priority == 'routine'",
        "time == '23:30' && weekday == 'Sun'",
        "age >= 40 && age < 60",
        "Manufacturer == 'GE' && 'GE' in each.Manufacturer && Rows == 3328",
        "StationName == '' && size(each.StationName) == 4",
    ],
)
def test_conditions_speak_of_what_is_known_of_a_study(condition: str) -> None:
    assert taken_by(condition, facts(age=52.0, Manufacturer="GE", Rows=3328.0))


def test_one_breast_is_told_from_both() -> None:
    assert taken_by("laterality == 'L' && !complete && images == 2", facts("LCC", "LMLO"))


def test_first_image_is_the_same_in_whatever_order_they_came() -> None:
    study = facts(Manufacturer="GE")
    other = RoutedImage(
        sop_instance_uid="1.1",
        laterality="L",
        view_position="XCCL",
        attributes={"Manufacturer": "H"},
    )
    condition = "Manufacturer == 'H' && each.Manufacturer == ['H', 'GE', 'GE', 'GE', 'GE']"

    for images in ([other, *study.images], [*study.images[::-1], other]):
        assert taken_by(
            condition,
            StudyFacts(sender="", images=images, is_complete=True, priority=Priority.STAT, at=AT),
        )


def test_first_rule_that_matches_takes_it() -> None:
    rules = rules_with(
        {"name": "a", "when": "sender == 'VAN'"},
        {"name": "b", "when": ["images >= 2", "complete"], "priority": "stat", "destinations": []},
        {"name": "c", "when": "images >= 2", "refuse": "too late"},
    )

    route, steps = rules.route(facts())

    assert route == Route(rule="b", recipients=(), priority=Priority.STAT)
    assert [(step.rule, step.has_matched) for step in steps] == [("a", False), ("b", True)]
    assert [(p.condition, p.holds, p.values) for p in steps[1].parts] == [
        ("images >= 2", True, {"images": 4}),
        ("complete", True, {"complete": True}),
    ]


def test_what_no_rule_takes_goes_as_the_settings_say() -> None:
    assert rules_with().route(facts())[0] == Route()
    assert rules_with({"name": "a", "when": "images > 4"}).route(facts())[0] == Route()
    assert all_recipients(Route(), Additions(), ["pacs", "archive"]) == (
        Recipient("pacs"),
        Recipient("archive"),
    )


def test_rule_that_cannot_be_evaluated_holds_the_study() -> None:
    rules = rules_with({"name": "a", "when": "8 / (images - 4) > 1"}, {"name": "b"})

    route, _ = rules.route(facts())

    assert "rule a cannot be evaluated: 8 / (images - 4) > 1: divide by zero" in route.held


def test_shadow_is_sent_nowhere_whatever_rules_on_results_say() -> None:
    (rules, study) = rules_with({"name": "a", "mode": "shadow"}), facts()
    more = Additions(recipients=(Recipient("archive"),))

    assert all_recipients(rules.route(study)[0], more, ["pacs"]) == ()


def test_every_rule_on_results_that_matches_adds_to_the_answer() -> None:
    rules = rules_with(
        results=[
            {"name": "high", "when": "score['mass'] > 0.5", "priority": "stat"},
            {
                "name": "flag",
                "when": "'mass' in flagged && sender == 'ROOM1' && rule == 'default'",
                "destinations": ["archive", {"name": "pacs", "profile": "workstation"}],
            },
            {"name": "low", "when": "score['mass'] < 0.5", "destinations": ["pacs"]},
            {"name": "none", "when": "score['calcification'] < 0.5", "destinations": ["pacs"]},
            {"name": "part", "when": "incomplete || analysed < 4", "destinations": ["pacs"]},
        ],
        findings={"mass", "calcification"},
    )

    added = rules.additions(facts(), answer())

    assert added == Additions(
        rules=("high", "flag"),
        recipients=(Recipient("archive"), Recipient("pacs", "workstation")),
        priority=Priority.STAT,
    )
    # The rule that took the study names a destination before those on results do.
    assert all_recipients(Route(recipients=(Recipient("pacs"),)), added, []) == (
        Recipient("pacs"),
        Recipient("archive"),
    )


def test_score_that_is_not_given_compares_with_none() -> None:
    rules = rules_with(
        results=[
            {"name": "x", "when": "score['mass'] >= 0 || score['mass'] < 0", "priority": "stat"}
        ]
    )

    assert rules.additions(facts(), answer(scores={"mass": math.nan})).rules == ()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            [{"name": "a", "when": "PatinetAge == '040Y'"}],
            "rules[1] a: when, column 1: nothing is called PatinetAge; did you mean PatientAge?",
        ),
        (
            [{"name": "a", "when": ["complete", "images == 'x'"]}],
            "rules[1] a: when[2], column 8: == does not apply to (whole number, text)",
        ),
        ([{"name": "a", "when": "ViewCodeSequence == ''"}], "ViewCodeSequence is a sequence"),
        ([{"name": "a"}, {"name": "b", "when": "complete"}], "rules[2] b: takes no study, since"),
        (
            [{"name": "a", "when": "complete"}, {"name": "b", "when": "images > 1 && complete"}],
            "rules[2] b: takes no study, since rules[1] a takes all of them before",
        ),
        ([{"name": "a", "when": "each.Manufactuer.exists(x, x == 'GE')"}], "Manufacturer"),
        ([{"name": "a", "when": "ImageType.exists(x, x == Manufactuer)"}], "Manufacturer?"),
        ([{"name": "a", "when": "complete || PatinetSex.size() > 0"}], "PatientSex?"),
        ([{"name": "a", "when": "[PatientSex, Rowz].size() > 1"}], "nothing is called Rowz"),
        ([{"name": "a", "when": "score['mass'] > 0.5"}], "nothing is called score"),
        (
            [{"name": "a", "when": "complete && laterality == 'Left'"}],
            "rules[1] a: when, column 28: laterality is never 'Left', but one of B, L, R",
        ),
        ([{"name": "a", "when": "'STAT' == priority"}], "priority is never 'STAT'"),
        ([{"name": "a", "when": "weekday in ['Sat', 'Sunday']"}], "weekday is never 'Sunday'"),
        ([{"name": "a", "when": "complete && 1 > 2"}], "rules[1] a: takes no study, since '1 > 2'"),
        (
            [{"name": "a", "when": "time >= '8:30'"}],
            "column 10: time reads as '08:30', never '8:30'",
        ),
        ([{"name": "a", "when": "complete && '25:00' > time"}], "never '25:00'"),
        ([{"name": "a", "when": "StudyDate >= '2026-01-01'"}], "StudyDate reads as '20260101'"),
        ([{"name": "a", "when": "each.StudyTime[0] < '08:30'"}], "StudyTime reads as '083000'"),
        ([{"name": "a", "when": "'MLO' in views"}], "column 2: views reads as 'LMLO', never 'MLO'"),
        ([{"name": "a", "when": "views == ['LMLO', 'rcc']"}], "never 'rcc'"),
    ],
)
def test_wrong_rule_is_named_with_its_place(rules: list[Any], words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        rules_with(*rules)

    assert words in str(raised.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        rules_with({"name": "a", "when": "x == 1"}, {"name": "b", "when": "y == 1"})

    assert "rules[1] a" in str(raised.value)
    assert "rules[2] b" in str(raised.value)


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("'masss' in flagged", "column 2: no bundle answers 'masss'"),
        ("complete && !('x' in flagged)", "no bundle answers 'x'"),
        ("rule == 'mamo'", "rule is never 'mamo', but one of a, default"),
        ("score.masss > 0.5", "column 7: no bundle answers 'masss'"),
        ("score['mass'] >= 80", "column 18: a score is from 0 to 1, never 80"),
        ("1.5 < score.mass", "a score is from 0 to 1, never 1.5"),
    ],
)
def test_word_that_an_answer_never_has_is_named(when: str, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        rules_with(
            {"name": "a"},
            results=[{"name": "r", "when": when, "priority": "stat"}],
            findings={"mass"},
        )

    assert words in str(raised.value)


@pytest.mark.parametrize(
    "when",
    [
        "time >= '20:00' || time < '24:00'",
        "time.startsWith('8')",
        "StudyDate >= '2026' && StudyDate != '' && StudyTime < '083000.5'",
        "views == ['LMLO', 'RCC'] && !('LXCCL' in views)",
        "PatientID in ['views', 'time']",
    ],
)
def test_what_may_be_meant_is_no_mistake(when: str) -> None:
    rules_with({"name": "a", "when": when})


def test_score_is_named_like_a_field_too() -> None:
    rules = rules_with(
        results=[{"name": "a", "when": "score.mass > 0.5", "priority": "stat"}],
        findings={"mass"},
    )

    assert rules.additions(facts(), answer(scores={})).rules == ()
    assert rules.additions(facts(), answer(scores={"mass": 1.0})).rules == ("a",)


def test_score_that_no_bundle_gives_is_named() -> None:
    with pytest.raises(SettingsError, match=r"result_rules\[1\] a: when, column 8: no bundle ans"):
        rules_with(
            results=[{"name": "a", "when": "score['mas'] > 0.5", "priority": "stat"}],
            findings={"mass"},
        )


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"name": "a", "destinations": ["nowhere"]}, "unknown destination nowhere"),
        ({"name": "a", "destinations": [{"name": "pacs", "profile": "x"}]}, "unknown profile x"),
        ({"name": "a", "bundle": "third"}, "unknown bundle third; choose one of default, second"),
        ({"name": "a", "shadow": "third"}, "unknown bundle third"),
        ({"name": "default"}, "this name is the node's own"),
        ({"name": "a", "destinations": ["pacs", "pacs"]}, "names one destination twice"),
        ({"name": "a", "refuse": "no", "bundle": "second"}, "no study of this rule is analysed"),
        ({"name": "a", "mode": "shadow", "destinations": ["pacs"]}, "never sent"),
        ({"name": "a", "bundle": "second", "shadow": ["second"]}, "names the bundle of the rule"),
        ({"name": "a", "when": "x" * 2001}, "2000"),
        ({"name": "a", "wehn": "complete"}, "wehn"),
    ],
)
def test_rule_that_names_what_is_not_there_is_a_mistake(rule: Any, words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        settings_with(rule)

    assert words in str(raised.value)


@pytest.mark.parametrize(
    "route",
    [
        Route(),
        Route(rule="a", bundle="second", recipients=(Recipient("pacs", "ohif"),), is_shadow=False),
        Route(rule="a", recipients=(), is_shadow=True, shadows=("second",)),
    ],
)
def test_route_is_the_same_after_the_ledger(route: Route) -> None:
    assert Route.from_json(route.rule, route.to_json()) == route
