"""What a person or a program may do, from least to most."""

from enum import StrEnum


class Role(StrEnum):
    """A role holds what those before it hold."""

    VIEWER = "viewer"
    """Sees studies, findings and how the node does; changes nothing."""
    OPERATOR = "operator"
    """Retries, cancels, pauses and sends studies besides."""
    ADMIN = "admin"
    """Sees the settings, makes accounts and tokens, and erases studies besides."""

    def holds(self, needed: "Role") -> bool:
        """Return whether whoever has this role may do what needs the other one."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)
