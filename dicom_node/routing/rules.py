"""The rules of a site, checked: which one takes a study, what it decides, and why no other does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from dicom_node.facts.priority import OF_WORDS, Priority
from dicom_node.routing.conditions import Condition, EvaluationError, Value
from dicom_node.routing.route import DEFAULT_RULE, Recipient, Route
from dicom_node.routing.study_facts import AnswerFacts, StudyFacts, attributes_for
from dicom_node.settings.rules import ResultRuleSettings, RuleSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRule:
    """A rule whose conditions were checked."""

    settings: RuleSettings | ResultRuleSettings
    place: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One condition of a rule, as it was evaluated.

    Attributes
    ----------
    holds : None if it cannot be evaluated
    values : of what it speaks of
    trouble : why it cannot be evaluated
    """

    condition: str
    holds: bool | None
    values: Mapping[str, Value]
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule that was tried.

    Attributes
    ----------
    parts : its conditions up to the first that does not hold
    """

    rule: str
    parts: tuple[Part, ...]

    @property
    def has_matched(self) -> bool:
        """Return whether every condition holds."""
        return all(part.holds for part in self.parts)

    @property
    def trouble(self) -> str:
        """Return why the rule could not be evaluated; empty if it could."""
        return next((f"{one.condition}: {one.trouble}" for one in self.parts if one.trouble), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """What the rules on results add to an answer.

    Attributes
    ----------
    rules : names of those that matched
    priority : the most urgent one of them; None if none names one
    troubles : of rules that could not be evaluated, and add nothing
    """

    rules: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    priority: Priority | None = None
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules of a site.

    Attributes
    ----------
    findings : names of the scores that rules ask for
    zone : of the site; None for that of the machine
    """

    rules: tuple[CheckedRule, ...] = ()
    result_rules: tuple[CheckedRule, ...] = ()
    findings: frozenset[str] = frozenset()
    zone: tzinfo | None = None

    @property
    def attributes(self) -> frozenset[str]:
        """Return what rules on studies want to know of each image's header."""
        return attributes_for(_names(self.rules))

    @property
    def reads_headers(self) -> bool:
        """Return whether rules on studies ask for anything that only the images' files tell."""
        return bool(self.attributes)

    @property
    def attributes_of_results(self) -> frozenset[str]:
        """Return what rules on results want to know of each image's header."""
        return attributes_for(_names(self.result_rules))

    def route(self, facts: StudyFacts) -> tuple[Route, list[Step]]:
        """Decide what is done with a study.

        Returns
        -------
        route, steps
            Of the first rule whose conditions all hold; and each rule that was tried. A rule that
            cannot be evaluated takes no study and lets none pass: it is held.
        """
        values = facts.values(_names(self.rules), self.zone)
        steps = []
        for rule in self.rules:
            step = _tried(rule, values)
            steps.append(step)
            if step.trouble:
                why = f"rule {step.rule} cannot be evaluated: {step.trouble}"
                return Route(rule=step.rule, held=why), steps
            if step.has_matched:
                assert isinstance(rule.settings, RuleSettings)
                return Route.of(rule.settings), steps
        steps.append(Step(rule=DEFAULT_RULE, parts=()))
        return Route(), steps

    def additions(self, facts: StudyFacts, answer: AnswerFacts) -> Additions:
        """Return what the rules on results add to an answer."""
        values = facts.values(
            [name for name in _names(self.result_rules) if name not in answer.values(())], self.zone
        )
        values |= answer.values(self.findings)
        matched, recipients, priorities, troubles = [], [], [], []
        for rule in self.result_rules:
            step = _tried(rule, values)
            if step.trouble:
                troubles.append(f"{rule.place}: {step.trouble}")
            elif step.has_matched:
                assert isinstance(rule.settings, ResultRuleSettings)
                matched.append(step.rule)
                recipients += [Recipient.of(one) for one in rule.settings.destinations]
                if rule.settings.priority is not None:
                    priorities.append(OF_WORDS[rule.settings.priority])
        return Additions(
            rules=tuple(matched),
            recipients=tuple(_once(recipients)),
            priority=max(priorities, default=None),
            troubles=tuple(troubles),
        )


def all_recipients(
    route: Route, additions: Additions, destinations: Iterable[str]
) -> tuple[Recipient, ...]:
    """Return to whom an answer is sent: each destination once, by the rule that names it first.

    Parameters
    ----------
    destinations : names of those in the settings
    """
    if route.is_shadow:
        return ()
    own = route.recipients
    if own is None:
        own = tuple(Recipient(name) for name in destinations)
    return tuple(_once([*own, *additions.recipients]))


def _tried(rule: CheckedRule, values: Mapping[str, Value]) -> Step:
    parts: list[Part] = []
    for condition in rule.conditions:
        spoken = {name: values[name] for name in condition.names}
        try:
            holds = condition.holds(values)
        except EvaluationError as error:
            parts.append(
                Part(condition=condition.text, holds=None, values=spoken, trouble=str(error))
            )
            break
        parts.append(Part(condition=condition.text, holds=holds, values=spoken))
        if not holds:
            break
    return Step(rule=rule.settings.name, parts=tuple(parts))


def _names(rules: Sequence[CheckedRule]) -> list[str]:
    return sorted({name for rule in rules for one in rule.conditions for name in one.names})


def _once(recipients: Iterable[Recipient]) -> list[Recipient]:
    found: dict[str, Recipient] = {}
    for one in recipients:
        found.setdefault(one.name, one)
    return list(found.values())
