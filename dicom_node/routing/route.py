"""What a rule decides on a study, and its form in the ledger."""

import json
from dataclasses import dataclass
from typing import Final, Self

from dicom_node.facts.priority import OF_WORDS, Priority
from dicom_node.settings.rules import DEFAULT_BUNDLE, RecipientSettings, RuleSettings

DEFAULT_RULE: Final = "default"
"""The rule that takes what no other one does: what the settings say besides rules."""


@dataclass(frozen=True, slots=True, order=True)
class Recipient:
    """A destination, and the profile of what it is sent; an empty one is the destination's own."""

    name: str
    profile: str = ""

    @classmethod
    def of(cls, settings: RecipientSettings) -> Self:
        """Return the recipient that a rule names."""
        return cls(settings.name, settings.profile or "")

    def in_words(self) -> str:
        """Name the destination, and its profile if a rule says which."""
        return f"{self.name} ({self.profile})" if self.profile else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is done with a study, and which rule says so.

    Attributes
    ----------
    bundle : name under [bundles], or that of the bundle of [model]
    recipients : None for all destinations of the settings
    priority : None for what images and senders state
    is_shadow : analysed and kept; nothing is made of it or sent
    shadows : names of further bundles whose answers are kept
    refused : why the study is not analysed; empty if it is
    held : why nobody can tell what to do with it, so that it waits; empty if somebody can
    """

    rule: str = DEFAULT_RULE
    bundle: str = DEFAULT_BUNDLE
    recipients: tuple[Recipient, ...] | None = None
    priority: Priority | None = None
    is_shadow: bool = False
    shadows: tuple[str, ...] = ()
    refused: str = ""
    held: str = ""

    @classmethod
    def of(cls, rule: RuleSettings) -> Self:
        """Return what a rule decides."""
        return cls(
            rule=rule.name,
            bundle=rule.bundle,
            recipients=(
                None
                if rule.destinations is None
                else tuple(Recipient.of(one) for one in rule.destinations)
            ),
            priority=None if rule.priority is None else OF_WORDS[rule.priority],
            is_shadow=rule.mode == "shadow",
            shadows=rule.shadow,
            refused=rule.refuse or "",
        )

    def to_json(self) -> str:
        """Return what a worker must know of it, as text."""
        recipients = self.recipients
        return json.dumps(
            {
                "bundle": self.bundle,
                "recipients": None
                if recipients is None
                else [[one.name, one.profile] for one in recipients],
                "is_shadow": self.is_shadow,
                "shadows": list(self.shadows),
            }
        )

    @classmethod
    def from_json(cls, rule: str, text: str) -> Self:
        """Return the route of an analysis; of one that an earlier release began, the default."""
        if not text:
            return cls(rule=rule or DEFAULT_RULE)
        kept = json.loads(text)
        recipients = kept["recipients"]
        return cls(
            rule=rule,
            bundle=kept["bundle"],
            recipients=None
            if recipients is None
            else tuple(Recipient(name, profile) for name, profile in recipients),
            is_shadow=kept["is_shadow"],
            shadows=tuple(kept["shadows"]),
        )

    def in_words(self) -> str:
        """Say what is decided, in one line."""
        if self.refused:
            return f"not analysed: {self.refused}"
        if self.held:
            return f"held: {self.held}"
        parts = [f"bundle {self.bundle}"]
        if self.is_shadow:
            parts.append("in shadow: kept, and sent nowhere")
        elif self.recipients is None:
            parts.append("to all destinations")
        elif not self.recipients:
            parts.append("to no destination")
        else:
            names = (
                f"{one.name} ({one.profile})" if one.profile else one.name
                for one in self.recipients
            )
            parts.append(f"to {', '.join(names)}")
        if self.priority is not None:
            parts.append(self.priority.word)
        if self.shadows:
            parts.append(f"shadow {', '.join(self.shadows)}")
        return "; ".join(parts)


def is_sent_nowhere(rule: str, route: str) -> bool:
    """Return whether a rule has decided that an answer is kept and sent to nobody.

    Parameters
    ----------
    route : as in the ledger
    """
    decided = Route.from_json(rule, route)
    return decided.is_shadow or decided.recipients == ()


DEFAULT_ROUTE: Final = Route()
"""What the settings say besides rules."""
