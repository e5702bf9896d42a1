"""Checks all rules of the settings at start, and names each mistake by rule and place."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from zoneinfo import ZoneInfo

from dicom_node.errors import SettingsError
from dicom_node.routing.attributes import is_keyword, keywords, kind_of
from dicom_node.routing.conditions import (
    Condition,
    ConditionError,
    Kind,
    checked,
    names_in,
    parts_of,
)
from dicom_node.routing.literals import scores_in, wrong_forms, wrong_scores, wrong_words
from dicom_node.routing.loops import loops
from dicom_node.routing.route import DEFAULT_RULE
from dicom_node.routing.rules import CheckedRule, Rules
from dicom_node.routing.study_facts import EACH, OF_ANSWERS, OF_STUDIES, WORDS
from dicom_node.settings.rules import ResultRuleSettings, RuleSettings, place_of
from dicom_node.settings.settings import Settings


def rules_of(settings: Settings, findings: Collection[str] | None = None) -> Rules:
    """Return the rules of the settings.

    Parameters
    ----------
    findings : names of what the site's bundles answer; None where they are not known

    Raises
    ------
    SettingsError
        A rule is wrong: the message lists every mistake with the rule's place and name.
    """
    known = None if findings is None else frozenset(findings)
    mistakes: list[str] = []
    words = {**WORDS, "rule": (DEFAULT_RULE, *(rule.name for rule in settings.rules))}
    rules = tuple(
        _checked(place_of("rules", number, rule.name), rule, known, WORDS, mistakes)
        for number, rule in enumerate(settings.rules)
    )
    result_rules = tuple(
        _checked(place_of("result_rules", number, rule.name), rule, known, words, mistakes)
        for number, rule in enumerate(settings.result_rules)
    )
    # Of rules that are wrong nobody can tell what they take.
    mistakes += [] if mistakes else _unreachable(rules)
    mistakes += loops(settings)
    if mistakes:
        raise SettingsError(
            "the rules have mistakes:\n" + "\n".join(f"  {one}" for one in mistakes)
        )
    zone = settings.results.time_zone
    return Rules(
        rules=rules,
        result_rules=result_rules,
        findings=frozenset(
            name
            for rule in settings.result_rules
            for text in rule.when
            for _, name in scores_in(text)
        ),
        zone=None if zone is None else ZoneInfo(zone),
    )


def _checked(
    place: str,
    rule: RuleSettings | ResultRuleSettings,
    findings: frozenset[str] | None,
    words: Mapping[str, Collection[str]],
    mistakes: list[str],
) -> CheckedRule:
    """Check the conditions of one rule; note what is wrong with them."""
    is_of_results = isinstance(rule, ResultRuleSettings)
    own = {**OF_STUDIES, **(OF_ANSWERS if is_of_results else {})}
    conditions: list[Condition] = []
    for number, text in enumerate(rule.when):
        where = f"{place}: when" if len(rule.when) == 1 else f"{place}: when[{number + 1}]"
        kinds = {name: kind for name, (kind, _) in own.items()} | _kinds_of_keywords(text)
        found = [
            *_wrong_keywords(text),
            *wrong_words(text, words),
            *wrong_forms(text),
            *(wrong_scores(text, findings) if is_of_results else ()),
        ]
        try:
            # As a whole first: positions are then those in the file.
            checked(text, kinds, suggestions=keywords)
            conditions += [checked(part, kinds) for part in parts_of(text)]
        except ConditionError as error:
            found = found or str(error).split("\n")
        mistakes += [f"{where}, {one}" for one in found]
    return CheckedRule(settings=rule, place=place, conditions=tuple(conditions))


def _kinds_of_keywords(text: str) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for name in names_in(text):
        is_each = name.startswith(EACH)
        keyword = name.removeprefix(EACH).split(".")[0]
        kind = kind_of(keyword)
        if kind is not None:
            is_text = kind in {Kind.TEXT, Kind.TEXTS}
            listed = Kind.TEXTS if is_text else Kind.NUMBERS
            found[f"{EACH}{keyword}" if is_each else keyword] = listed if is_each else kind
    return found


def _wrong_keywords(text: str) -> Iterator[str]:
    for name in names_in(text):
        keyword = name.removeprefix(EACH).split(".")[0]
        if is_keyword(keyword) and kind_of(keyword) is None:
            yield (
                f"{keyword} is a sequence or holds bytes, or is no attribute of an image's data "
                "set: conditions speak of text and numbers alone"
            )


def _unreachable(rules: Sequence[CheckedRule]) -> Iterator[str]:
    """Name the rules that take no study, because an earlier one takes all of theirs."""
    conditions = [
        {" ".join(one.text.split()) for one in rule.conditions if one.always is not True}
        for rule in rules
    ]
    for number, rule in enumerate(rules):
        never = next((one.text for one in rule.conditions if one.always is False), "")
        if never:
            yield f"{rule.place}: takes no study, since {never!r} never holds"
            continue
        for earlier in range(number):
            # The text decides, so that nothing is called unreachable that may be reached.
            if conditions[earlier] <= conditions[number]:
                yield (
                    f"{rule.place}: takes no study, since {rules[earlier].place} takes all of them "
                    "before; change their order or their conditions"
                )
                break
