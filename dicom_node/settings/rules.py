"""The sections [[rules]], [[result_rules]] and [bundles]: which study goes which way."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from dicom_node.settings.section import LocalPath, Name, Section

DEFAULT_BUNDLE: Final = "default"
"""Name under which rules speak of the bundle of [model]."""

OWN_RULES: Final = frozenset({"default", "canary", "operator"})
"""Names of the rules that the node brings along."""

LONGEST_CONDITION: Final = 2000
"""Characters of one condition."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Condition = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_CONDITION)]
Conditions = Annotated[tuple[Condition, ...], Field(max_length=50), BeforeValidator(_listed)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Urgency = Literal["stat", "routine", "off-peak"]


class BundleSettings(Section):
    """A further bundle that rules name; everything else of [model] holds for it too."""

    folder: LocalPath
    """Bundle folder."""
    accept: str | None = None
    """Licence phrase of the bundle, as model.accept."""


class RecipientSettings(Section):
    """A destination of a rule, and what it is sent."""

    name: Name
    """Name of one of the [[destinations]]."""
    profile: Name | None = None
    """What it is sent of these studies. Default: its own profile."""


Recipients = tuple[Annotated[RecipientSettings, BeforeValidator(_named)], ...]


class RuleSettings(Section):
    """Which studies are analysed by which bundle, how urgently, and where their results are sent.

    The first rule whose conditions all hold takes a study. What no rule takes goes as the node
    without rules would have it.
    """

    name: Name
    """Name of the rule, in tables and in the history of each study."""
    when: Conditions = ()
    """Condition or list of conditions, all of which must hold; without one every study is taken."""
    refuse: Reason | None = None
    """Reason for which these studies are kept and not analysed."""
    bundle: Name = DEFAULT_BUNDLE
    """Name under [bundles]; default: the one of [model]."""
    destinations: Recipients | None = None
    """Destinations, each by name or as { name, profile }; []: none. Default: all."""
    priority: Urgency | None = None
    """stat, routine or off-peak. Default: what images and senders state."""
    mode: Literal["live", "shadow"] = "live"
    """shadow: analysed and kept, and nothing is made of it or sent."""
    shadow: Annotated[tuple[Name, ...], Field(max_length=8), BeforeValidator(_listed)] = ()
    """Further bundles whose answers are kept to compare them, and never sent."""

    @model_validator(mode="after")
    def _decides_one_thing(self) -> "RuleSettings":
        given = self.model_fields_set - {"name", "when", "refuse"}
        if self.refuse is not None and given:
            raise ValueError(f"refuse: no study of this rule is analysed, so drop {_words(given)}")
        if self.mode == "shadow" and self.destinations:
            raise ValueError("destinations: what is analysed in shadow is never sent; drop them")
        if self.bundle in self.shadow or len(set(self.shadow)) < len(self.shadow):
            raise ValueError("shadow: names the bundle of the rule, or one bundle twice")
        return self


class ResultRuleSettings(Section):
    """What is done besides with an answer; every rule whose conditions hold adds to it."""

    name: Name
    """Name of the rule, in tables and in the history of each study."""
    when: Annotated[Conditions, Field(min_length=1)]
    """Condition or list of conditions on study and answer, all of which must hold."""
    destinations: Recipients = ()
    """Destinations that get the results besides those of the rule that took the study."""
    priority: Urgency | None = None
    """Deliver at least as urgently as this."""

    @model_validator(mode="after")
    def _does_something(self) -> "ResultRuleSettings":
        if not self.destinations and self.priority is None:
            raise ValueError("the rule does nothing: give destinations or priority")
        return self


def rule_mistakes(
    rules: tuple[RuleSettings, ...],
    result_rules: tuple[ResultRuleSettings, ...],
    *,
    bundles: set[str],
    destinations: set[str],
    profiles: set[str],
) -> Iterator[str]:
    """Say of each name that rules use and the settings do not have where it stands.

    Parameters
    ----------
    bundles, destinations, profiles : names that the settings have
    """
    if DEFAULT_BUNDLE in bundles:
        yield f"bundles.{DEFAULT_BUNDLE}: this name means the bundle of [model]; choose another"
    known_bundles = {DEFAULT_BUNDLE, *bundles}
    seen: set[str] = set()
    places: list[tuple[str, RuleSettings | ResultRuleSettings]] = [
        *((place_of("rules", number, one.name), one) for number, one in enumerate(rules)),
        *((place_of("result_rules", n, one.name), one) for n, one in enumerate(result_rules)),
    ]
    for place, rule in places:
        if rule.name in OWN_RULES:
            yield f"{place}: this name is the node's own; choose another"
        if rule.name in seen:
            yield f"{place}: an earlier rule has this name; choose another"
        seen.add(rule.name)
        names = [recipient.name for recipient in rule.destinations or ()]
        if len(set(names)) < len(names):
            yield f"{place}: destinations names one destination twice"
        for name in sorted(set(names) - destinations):
            yield f"{place}: unknown destination {name}; {_choices(destinations)}"
        wanted = {one.profile for one in rule.destinations or () if one.profile is not None}
        for name in sorted(wanted - profiles):
            yield f"{place}: unknown profile {name}; {_choices(profiles)}"
        used = {rule.bundle, *rule.shadow} if isinstance(rule, RuleSettings) else set()
        for name in sorted(used - known_bundles):
            yield f"{place}: unknown bundle {name}; {_choices(known_bundles)}"


def place_of(section: str, index: int, name: str) -> str:
    """Name a rule by its place in the file, counted from 1, and its name."""
    return f"{section}[{index + 1}] {name}"


def _words(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _choices(names: set[str]) -> str:
    return f"choose one of {_words(names)}" if names else "the settings have none"
